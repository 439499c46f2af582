//! `sekisho request` and `sekisho loan`

use sekisho_acts::access::Ask;
use sekisho_acts::command::{Command, Outcome};

use super::{print_json, print_table, seconds, unexpected};
use crate::cli::{Common, LoanCommand, RequestCommand};
use crate::control;
use crate::error::CommandError;

/// Performs one of the commands about what is asked for.
pub(crate) async fn requests(common: &Common, command: RequestCommand) -> Result<(), CommandError> {
    let act = match command {
        RequestCommand::Ask { grant, tool, reason, bounds } => {
            Command::RequestFile(Ask { grant, task: None, tool, reason, bounds })
        }
        RequestCommand::Grant { request, lasts, bounds } => {
            Command::RequestGrant { request, seconds: seconds(&lasts)?, bounds }
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

/// Performs one of the commands about what was lent.
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
