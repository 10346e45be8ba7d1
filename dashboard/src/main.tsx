// Where the page begins.

import { render } from "solid-js/web";

import { App } from "./app";
import { begin } from "./session";
import "./style/base.css";
import "./style/parts.css";
import "./style/pages.css";

begin();
const root = document.getElementById("root");
if (root !== null) {
  render(() => <App />, root);
}
