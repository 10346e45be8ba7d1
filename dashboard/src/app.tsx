// All pages with their addresses, and who gets to see which.

import { Navigate, Route, Router } from "@solidjs/router";
import { type Component, Match, Show, Switch, lazy } from "solid-js";

import { Frame } from "./frame";
import { SignIn } from "./pages/sign-in";
import { Interference } from "./pages/interference";
import { Overview } from "./pages/overview";
import { Reviews } from "./pages/reviews";
import { Run } from "./pages/run";
import { Tenant } from "./pages/tenant";
import { Tenants } from "./pages/tenants";
import { access, isBeginning, isOperator } from "./session";
import { Empty } from "./ui/parts";

const Simulator = lazy(() => import("./pages/simulator"));

export function App() {
  return (
    <Show when={access()} fallback={<Show when={!isBeginning()}><SignIn /></Show>}>
      <Router base="/ui" root={Frame}>
        <Route path="/" component={Home} />
        <Route path="/overview" component={operators(Overview)} />
        <Route path="/tenants" component={operators(Tenants)} />
        <Route path="/tenants/:tenant" component={Tenant} />
        <Route path="/tenants/:tenant/runs/:run" component={Run} />
        <Route path="/reviews/:review?" component={Reviews} />
        <Route path="/interference" component={operators(Interference)} />
        <Route path="/simulator" component={Simulator} />
        <Route path="*" component={Nowhere} />
      </Router>
    </Show>
  );
}

/// What there is to see first, by what the key opens.
function Home() {
  return (
    <Switch fallback={<Empty>A key of this role opens no page: workers ask the exchange, auditors read the log.</Empty>}>
      <Match when={isOperator()}>
        <Navigate href="/overview" />
      </Match>
      <Match when={access()?.role === "tenant" || access()?.role === "viewer"}>
        <Navigate href={`/tenants/${access()?.tenant}`} />
      </Match>
      <Match when={access()?.role === "reviewer"}>
        <Navigate href="/reviews" />
      </Match>
    </Switch>
  );
}

function Nowhere() {
  return <Empty>There is no such page.</Empty>;
}

/// A page that shows the whole platform. The server would refuse it to others, too.
function operators(Page: Component): Component {
  return () => (
    <Show when={isOperator()} fallback={<Empty>This page is for operators: it shows all tenants.</Empty>}>
      <Page />
    </Show>
  );
}
