//! Wrong command lines, help, and servers that are not there.

use expect_test::expect;

use super::process::Binary;

#[tokio::test]
async fn a_wrong_command_line_is_code_2_and_says_what_is_right() {
    let binary = Binary::alone();
    for arguments in [
        &["fly"][..],
        &["run"],
        &["run", "loan", "--tenant", "t", "--lane", "fast"],
        &["worker", "--slots", "0"],
        &["key", "create", "king"],
        &["pool", "put", "p", "--long-over-ms", "5"],
        &["completions", "cmd"],
        &["top", "--interval-ms", "1"],
    ] {
        let said = binary.run(arguments).await;
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(said.stderr.starts_with("error: "), "{arguments:?}: {}", said.stderr);
    }
}

#[tokio::test]
async fn a_call_without_a_key_is_code_2() {
    let said = Binary::alone().run(&["tenant", "list"]).await;
    expect![[r#"
        exit code 2
        --- stderr
        error: an API key is needed: --key or FAIRLANE_KEY (`fairlane dev` prints one), or `fairlane login` where people sign in
    "#]]
    .assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn an_input_that_is_no_json_is_code_2() {
    let binary = Binary::at("http://127.0.0.1:1", "fl_x");
    binary.write("bad.json", "{\"a\": }");
    let said = binary.run(&["run", "loan", "--input", "{a}"]).await;
    expect![[r#"
        exit code 2
        --- stderr
        error: --input is not JSON: key must be a string at line 1 column 2
    "#]]
    .assert_eq(&said.show(&[]));
    let said = binary.run(&["run", "loan", "--input", "@bad.json"]).await;
    expect![[r#"
        exit code 2
        --- stderr
        error: bad.json is not JSON: expected value at line 1 column 7
    "#]]
    .assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_code_5() {
    let binary = Binary::at("http://127.0.0.1:1", "fl_x");
    let said = binary.run(&["run", "loan", "--input", "@none.json"]).await;
    expect![[r#"
        exit code 5
        --- stderr
        error: cannot read none.json: No such file or directory (os error 2)
    "#]]
    .assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn a_malformed_address_is_code_2() {
    let said = Binary::at("localhost:7420", "fl_x").run(&["runs"]).await;
    expect![[r#"
        exit code 2
        --- stderr
        error: "localhost:7420" is not the address of a server: expected http://HOST:PORT or https://HOST:PORT
    "#]].assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn a_server_that_is_away_is_code_4() {
    // Nothing listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let binary = Binary::at(&format!("http://{address}"), "fl_x");
    let said = binary.run(&["tenant", "list"]).await;
    expect![[r#"
        exit code 4
        --- stderr
        error: cannot connect to ADDRESS: Connection refused (os error 111)
          hint: is the server running? `fairlane dev` starts one; --url or FAIRLANE_URL names another
    "#]].assert_eq(&said.show(&[(&address, "ADDRESS")]));
    let said = binary.run(&["tenant", "list", "--json"]).await;
    let error: serde_json::Value = serde_json::from_str(&said.stderr).unwrap();
    assert_eq!((said.code, &error["exit_code"], &error["problem"]), (4, &4.into(), &().into()));
}

#[expect(clippy::too_many_lines, reason = "it is one text")]
#[tokio::test]
async fn the_help_names_all_commands_and_exit_codes() {
    let help = Binary::alone().ok(&["--help"]).await;
    expect![[r#"
        Fairlane, the control plane for platforms that serve many organisations: one binary.

        Usage: fairlane [OPTIONS] <COMMAND>

        Commands:
          demo             Show on a real server how one tenant's burst does, or does not, reach the others
          dev              Run a server for development, with its data in a folder
          serve            Run the server
          apply            Declare organisations, tiers, pools, tenants, the catalog, budget classes and workflows from files
          run              Submit a run
          runs             List a tenant's runs, newest first
          get              Show a run with its steps, or its output
          explain          Explain what a run waits for, why a tenant is slow, or whether the platform is well and fair
          events           Follow what happens to a run until it ends
          cancel           Cancel a run, its children, and the steps that workers hold
          pause            Pause a run: nothing new is dispatched, and what runs, ends
          resume           Resume a paused run
          retry            Run an ended run again: from a step, or from the steps that failed
          resolve          Decide of a run that is halted for want of money: give the step's output, or let a cheaper model stand in
          signal           Put a signal into a run's inbox
          tenant           List, look at, declare, suspend and change tenants
          workflow         List and show workflows, and check definitions
          pool             List, show and declare pools of worker slots
          tool             List and show tools: what all tenants together may call of each, and how the server calls it
          model            List and show models: the candidates that each name stands for
          price            List and show prices: what a million tokens cost, and from when on
          policy           List, show, set, remove and check policies: who may do what, in Cedar
          catalog          Bring prices, regions and adequacy decisions up to date, and show where data may be
          class            List and show budget classes: what each of their tenants may call and spend
          budget           Show and change budgets: what is spent, held and left
          limits           Show how much of limits is used: a tenant's own, or those of a tool that all tenants share
          calls            List a tenant's calls of models, newest first: who served them, and what they cost
          usage            Sum up what a tenant's calls of models used, by model, who served it and where
          report           Report how far budgets are used, which workflows run out of theirs, and what rests on adequacy
          review           List, claim and decide reviews, with a reviewer's key
          channel          List, show, set, delete, rotate and test channels: where a tenant is told of things, and of which
          notice           List notices that are not delivered, and deliver those that were given up
          key              Make, list and revoke API keys; change what rows are sealed with
          login            Sign in as a person, where the server has an identity provider
          logout           Forget that you have signed in
          whoami           Say who you are to the server, and what keys you have
          decisions        List the decision log, newest first: a tenant's, or the platform's own
          audit            Take audit logs out, and check that nothing in them was changed
          erase            Erase a run, all there is of a person, or all of a tenant
          erasures         List erasures, newest first, or show one
          top              Watch tenants: slots, cap, share, waiting, wait, p95, debt, and why one is slow
          worker           Run a sample worker that executes any task by waiting
          backup           Copy the embedded store while the server runs, or stands
          restore          Put a backup where a server will open it
          export-arrivals  Write what came in a time, and what it took, as a scenario to simulate
          replay           Replay real arrivals with simulated work and compare policies
          simulate         Play a scenario in virtual time, and compare policies, declarations and arrivals
          bench            Measure throughput, latency, the scheduler, memory and start, beside their targets
          conformance      Prove that one tenant cannot see what another one has, nor that it is there
          completions      Print a completion script for a shell
          help             Print this message or the help of the given subcommand(s)

        Options:
              --url <URL>       Address of the server [env: FAIRLANE_URL=] [default: http://127.0.0.1:7420]
              --key <KEY>       API key [env: FAIRLANE_KEY]
              --use-key <ID>    Which of your keys is meant, by its id, where you have signed in and have several [env: FAIRLANE_USE_KEY=]
              --ca-file <FILE>  Certificates of authorities to trust besides those that browsers trust, in PEM [env: FAIRLANE_CA_FILE=]
              --json            Write data as JSON, for programs
          -h, --help            Print help
          -V, --version         Print version

        Exit codes:
          0    done
          1    done, and the answer is no: the run failed, the file has mistakes
          2    the command line is wrong
          3    the server refused (4xx)
          4    the server cannot be reached, or cannot serve now (5xx)
          5    something on this machine is in the way: a file, a port, a store
          130  interrupted before the work was finished
    "#]].assert_eq(&help);
}

#[tokio::test]
async fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Binary::alone().ok(&["completions", shell]).await;
        assert!(script.contains("fairlane") && script.contains("explain"), "{shell}");
    }
}

#[tokio::test]
async fn a_command_about_runs_without_a_tenant_says_how_to_name_one() {
    let binary = Binary::alone();
    for arguments in
        [&["runs", "--key", "k"][..], &["get", "r", "--key", "k"], &["run", "w", "--key", "k"]]
    {
        let said = binary.run(arguments).await;
        expect![[r#"
            exit code 2
            --- stderr
            error: a tenant is needed: --tenant or FAIRLANE_TENANT
        "#]]
        .assert_eq(&said.show(&[]));
    }
}

#[tokio::test]
async fn a_negative_number_is_a_wrong_value_and_no_unknown_option() {
    let binary = Binary::alone();
    for arguments in [
        &["tenant", "set", "t", "--cap", "-1"][..],
        &["tenant", "put", "t", "--org", "o", "--tier", "t", "--weight", "-1"],
        &["pool", "put", "p", "--slots", "-1"],
        &["worker", "--slots", "-1"],
    ] {
        let said = binary.run(arguments).await;
        assert_eq!(said.code, 2);
        assert!(said.stderr.contains("invalid value '-1'"), "{arguments:?}: {}", said.stderr);
    }
}

#[tokio::test]
async fn top_without_a_terminal_points_to_once() {
    let said = Binary::at("http://127.0.0.1:1", "fl_x").run(&["top"]).await;
    expect![[r#"
        exit code 2
        --- stderr
        error: the live table needs a terminal; `fairlane top --once` prints the table
    "#]]
    .assert_eq(&said.show(&[]));
}
