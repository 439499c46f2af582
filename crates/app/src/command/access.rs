//! `sekisho request` and `sekisho loan`

use std::path::Path;

use sekisho_acts::access::Ask;
use sekisho_acts::command::{Command, Outcome};

use sekisho_policy::lending::Hindrance;
use sekisho_protocol::ids::AccessRequestId;
use sekisho_web::sentence::Sentence;

use super::{print_json, print_table, seconds, unexpected, visible};
use crate::cli::{Common, LoanCommand, RequestCommand};
use crate::control;
use crate::error::CommandError;

/// Performs one of the `request` commands.
pub(crate) async fn requests(common: &Common, command: RequestCommand) -> Result<(), CommandError> {
    let act = match command {
        RequestCommand::Ask { grant, tool, reason, bounds } => {
            Command::RequestFile(Ask { grant, task: None, tool, reason, bounds })
        }
        RequestCommand::Grant { request, lasts, bounds, config } => {
            let seconds = seconds(&lasts)?;
            warn(common, config.as_deref(), request).await;
            Command::RequestGrant { request, seconds, bounds }
        }
        RequestCommand::List => Command::RequestList,
        RequestCommand::Refuse { request } => Command::RequestRefuse { request },
    };
    let outcome = control::act(common, act).await?;
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::AccessRequests { requests } => {
            let rows: Vec<Vec<String>> = requests
                .into_iter()
                .map(|asked| {
                    vec![
                        asked.id.to_string(),
                        asked.subject,
                        asked.server.to_string(),
                        asked.tool,
                        asked.task.map_or_else(|| "-".to_owned(), |task| task.to_string()),
                        asked.expires.strftime("%F %R").to_string(),
                        asked.client.to_string(),
                        asked.reason,
                    ]
                })
                .collect();
            print_table(&["REQUEST", "USER", "SERVER", "TOOL", "TASK", "ANSWER BY", "CLIENT", "WHY"], &rows);
        }
        Outcome::Done { .. } => say!("refused"),
        Outcome::Loan { id, ends } => {
            let until = ends.strftime("%F %R");
            say!("lent until {until} UTC; `sekisho loan revoke {id}` takes it back");
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
}

/// Warns, before a loan is made, if the call would be refused in spite of it. If that cannot be found out, the owner
/// can still lend.
async fn warn(common: &Common, config: Option<&Path>, request: AccessRequestId) {
    match control::judge(common, config, Command::RequestWeigh { request }).await {
        Ok(Outcome::Hindered { hindrance: Some(Hindrance::Forbidden { rules, reasons }), .. }) => {
            let rules: Vec<String> = rules.iter().map(|rule| format!("`{}`", visible(&rule.to_string()))).collect();
            tell!("{} The rule: {}", Sentence::LendForbidden.row().0, rules.join(", "));
            reasons.iter().for_each(|reason| tell!("{}", visible(reason)));
        }
        Ok(Outcome::Hindered { hindrance: Some(Hindrance::Held { .. }), server }) => {
            tell!("{} `sekisho server tools diff {server}`", Sentence::LendHeld.row().0);
        }
        // The act itself reports a request that does not exist.
        Ok(_) | Err(CommandError::No { .. }) => {}
        Err(error) => tell!("it is not known whether a rule forbids it in spite of a loan: {error}"),
    }
}

/// Performs one of the `loan` commands.
pub(crate) async fn loans(common: &Common, command: LoanCommand) -> Result<(), CommandError> {
    let act = match command {
        LoanCommand::List => Command::LoanList,
        LoanCommand::Revoke { loan } => Command::LoanRevoke { loan },
    };
    let outcome = control::act(common, act).await?;
    if common.json {
        return print_json(&outcome);
    }
    match outcome {
        Outcome::Done { .. } => say!("taken back; it is felt within a second"),
        Outcome::Loans { loans } => {
            let rows: Vec<Vec<String>> = loans
                .into_iter()
                .map(|loan| {
                    vec![
                        loan.id.to_string(),
                        loan.subject,
                        loan.server.to_string(),
                        loan.tool,
                        loan.task.map_or_else(|| "-".to_owned(), |task| task.to_string()),
                        loan.ends.strftime("%F %R").to_string(),
                        loan.client.to_string(),
                    ]
                })
                .collect();
            print_table(&["LOAN", "USER", "SERVER", "TOOL", "TASK", "ENDS", "CLIENT"], &rows);
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
}
