// How the page is built: for `/ui/` of a server, as files of its own that a strict policy lets through.
//
// `FAIRLANE_URL=http://127.0.0.1:7420 npm run dev` serves it while it is written, with the API of that server.

import { defineConfig } from "vite";
import solid from "vite-plugin-solid";

const server = process.env["FAIRLANE_URL"] ?? "http://127.0.0.1:7420";

export default defineConfig({
  base: "/ui/",
  plugins: [solid()],
  server: { proxy: { "/v1": server, "/readyz": server } },
  build: {
    target: "es2022",
    // Nothing is put into the page itself: the policy would not let it through.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
