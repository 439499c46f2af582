//! Tasks: declared pieces of work, what is left of their budgets, and their ends.
//!
//! INVARIANT: a transaction that writes to a grant and to its tasks, approvals, requests or loans writes in this order,
//! so that two such transactions cannot deadlock.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::{GrantId, ServerName, TaskId};
use sekisho_protocol::task::{Task, TaskDefinition, TaskOrigin};

use crate::changes::ChangeKind;
use crate::error::StoreError;
use crate::sql::{Row, conflict, grant_alive, json, task_running, values};
use crate::tx::Tx;

/// The most running tasks of one grant that its client began, by itself or by a token exchange.
pub const TASKS_BY_CLIENT_MAX: i64 = 32;

/// The most running tasks of one grant that a person began or agreed to. They are counted separately, so that a person
/// can always limit the client to a task, whatever the client begins.
pub const TASKS_BY_PERSON_MAX: i64 = 8;

/// A task to begin.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// The identifier.
    pub id: TaskId,
    /// The grant that it narrows. It must be alive.
    pub grant: GrantId,
    /// The server of that grant.
    pub server: ServerName,
    /// The definition. Its budget and its duration start to count now.
    pub definition: TaskDefinition,
    /// Who begins it, and how.
    pub origin: TaskOrigin,
    /// When it begins.
    pub created_at: Timestamp,
    /// The running task that it is inside of. It never outlives that task.
    pub parent: Option<TaskId>,
    /// Which tokens it limits.
    pub place: TaskPlace,
}

/// Which tokens of a grant a new task limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskPlace {
    /// Only the tokens that name it.
    Aside,
    /// All tokens, replacing the task before. Only a person may choose this, because the new task may be wider.
    Current,
    /// All tokens, in addition to the task before, which has to be its parent; so it can only be narrower.
    Inside,
}

/// Which tasks to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// The subject of the grant.
    pub subject: Option<Subject>,
    /// The grant.
    pub grant: Option<GrantId>,
    /// Whether to include tasks that are over.
    pub include_over: bool,
}

/// The result of taking one call from a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The task is over, or there is none: nothing was taken.
    Over,
    /// The budget is used up: nothing was taken.
    Spent,
    /// One call was taken.
    Taken,
    /// The task runs and has no budget of calls.
    Uncounted,
}

/// Tasks. See [`Tx::tasks`].
pub struct Tasks<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl Tasks<'_> {
    /// Begins a task. Fails with [`StoreError::Conflict`] if the grant has ended or is for another server, or if the
    /// identifier exists; and with [`StoreError::Full`] if that side has as many running tasks as it may have
    /// ([`TASKS_BY_CLIENT_MAX`], [`TASKS_BY_PERSON_MAX`]).
    pub async fn begin(&mut self, new: &NewTask) -> Result<(), StoreError> {
        let now = new.created_at;
        if !self.tx.grants().hold(new.grant, now).await? {
            return Err(conflict("a task of a grant that has ended"));
        }
        self.close_expired(new.grant, now).await?;
        if let Some(parent) = new.parent
            && !self.hold(parent, new.grant, now).await?
        {
            return Err(conflict("a task inside one that is over"));
        }
        if new.place == TaskPlace::Current {
            self.replace(new.grant, now).await?;
        }
        if !self.has_room(new).await? {
            return Err(StoreError::Full { what: "one more running task of this grant" });
        }
        if !self.insert(new).await? {
            return Err(conflict("a task at another server than its grant's"));
        }
        if !self.take_place(new).await? {
            return Err(conflict("a task that is not inside the one its grant is held to"));
        }
        self.tx.changed(ChangeKind::Grant, new.grant);
        Ok(())
    }

    async fn take_place(&mut self, new: &NewTask) -> Result<bool, StoreError> {
        let (sql, values) = match new.place {
            TaskPlace::Aside => return Ok(true),
            TaskPlace::Current => ("UPDATE grants SET task = $2 WHERE id = $1", values![new.grant, new.id]),
            // Of two that begin inside the same task, the second finds that the current task has changed.
            TaskPlace::Inside => (
                "UPDATE grants SET task = $2 WHERE id = $1 AND (task = $3 OR task IS NULL AND $3 IS NULL)",
                values![new.grant, new.id, new.parent.as_ref()],
            ),
        };
        self.tx.execute_one(sql, values).await
    }

    /// Marks expired tasks of a grant as ended, so that few others are left.
    async fn close_expired(&mut self, grant: GrantId, now: Timestamp) -> Result<(), StoreError> {
        self.tx
            .execute(
                "UPDATE tasks SET ended_at = ends_at, ended_because = 'its time was over'
                 WHERE grant_id = $1 AND ended_at IS NULL AND ends_at <= $2",
                values![grant, now],
            )
            .await?;
        Ok(())
    }

    /// Ends the current task of a locked grant, unless it belongs to a grant that this one is derived from.
    async fn replace(&mut self, grant: GrantId, now: Timestamp) -> Result<(), StoreError> {
        let replaced = self
            .tx
            .fetch_optional(
                "UPDATE tasks SET ended_at = $2, ended_because = 'replaced'
                 WHERE id = (SELECT task FROM grants WHERE grants.id = $1) AND grant_id = $1 AND ended_at IS NULL
                 RETURNING id",
                values![grant, now],
            )
            .await?;
        match replaced {
            Some(row) => self.ended(row.parse("id")?, now).await,
            None => Ok(()),
        }
    }

    /// Returns whether this side may have one more task. The grant is locked, so nobody else can begin one meanwhile.
    async fn has_room(&mut self, new: &NewTask) -> Result<bool, StoreError> {
        let by_client = new.origin.is_of_client();
        let max = if by_client { TASKS_BY_CLIENT_MAX } else { TASKS_BY_PERSON_MAX };
        let row = self
            .tx
            .fetch_optional(
                "SELECT COUNT(*) AS running FROM tasks
                 WHERE grant_id = $1 AND ended_at IS NULL
                     AND $2 = CASE WHEN origin IN ('agent', 'exchange') THEN 1 ELSE 0 END",
                values![new.grant, by_client],
            )
            .await?;
        Ok(row.map_or(Ok(0), |row| row.int("running"))? < max)
    }

    async fn insert(&mut self, new: &NewTask) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                "INSERT INTO tasks (id, grant_id, parent, server, definition, origin, calls_left, calls_total, created_at,
                     ends_at)
                 SELECT $1, grants.id, $9, grants.server, $4, $5, $6, $6, $7,
                     CASE WHEN up.ends_at IS NOT NULL AND ($8 IS NULL OR up.ends_at < $8) THEN up.ends_at ELSE $8 END
                 FROM grants LEFT JOIN tasks up ON up.id = $9
                 WHERE grants.id = $2 AND grants.server = $3",
                values![
                    new.id,
                    new.grant,
                    &new.server,
                    json(&new.definition)?,
                    new.origin.as_str(),
                    new.definition.calls.map(i64::from),
                    new.created_at,
                    new.definition.expires_in.map(|seconds| after(new.created_at, seconds)),
                    new.parent.as_ref()
                ],
            )
            .await
    }

    /// Returns the task of this identifier, also if it is over.
    pub async fn find(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.tx.fetch_optional("SELECT * FROM tasks WHERE id = $1", values![id]).await?.map(read).transpose()
    }

    /// Returns the tasks of a grant that were not ended, at most [`TASKS_BY_CLIENT_MAX`] and [`TASKS_BY_PERSON_MAX`],
    /// and its current one in any case; oldest first. An expired task is not marked as ended at once: ask
    /// [`Task::is_over`].
    pub async fn of_grant(&mut self, grant: GrantId) -> Result<Vec<Task>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT * FROM tasks
                 WHERE grant_id = $1 AND ended_at IS NULL OR id = (SELECT task FROM grants WHERE grants.id = $1)
                 ORDER BY created_at, id",
                values![grant],
            )
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// Returns the tasks that match the filter, oldest first.
    pub async fn list(&mut self, filter: &TaskFilter, now: Timestamp) -> Result<Vec<Task>, StoreError> {
        let rows = self
            .tx
            .fetch_all(
                concat!(
                    "SELECT tasks.* FROM tasks JOIN grants ON grants.id = tasks.grant_id
                     WHERE ($1 IS NULL OR grants.subject = $1) AND ($2 IS NULL OR grants.id = $2)
                         AND ($3 = 1 OR ",
                    task_running!("$4"),
                    ") ORDER BY tasks.created_at, tasks.id"
                ),
                values![filter.subject.as_ref(), filter.grant.as_ref(), filter.include_over, now],
            )
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// Takes one call from a task's budget, if the task is not over, its grant is alive and one is left.
    pub async fn take(&mut self, id: TaskId, now: Timestamp) -> Result<Taken, StoreError> {
        let row = self
            .tx
            .fetch_optional(
                // Also written if nothing is counted, so that a concurrent end of the task waits.
                concat!(
                    "UPDATE tasks SET calls_left = calls_left - 1
                     WHERE tasks.id = $1 AND (tasks.calls_left IS NULL OR tasks.calls_left > 0) AND ",
                    task_running!("$2"),
                    " AND EXISTS (SELECT 1 FROM grants WHERE grants.id = tasks.grant_id AND ",
                    grant_alive!("$2"),
                    ") RETURNING calls_left"
                ),
                values![id, now],
            )
            .await?;
        let Some(row) = row else { return self.why_not(id, now).await };
        match row.int_opt("calls_left")? {
            None => Ok(Taken::Uncounted),
            Some(left) => {
                if left == 0 {
                    self.announce(id).await?;
                }
                Ok(Taken::Taken)
            }
        }
    }

    /// Returns why nothing could be taken. Only the text of the refusal depends on it.
    async fn why_not(&mut self, id: TaskId, now: Timestamp) -> Result<Taken, StoreError> {
        let running = self
            .tx
            .fetch_optional(
                concat!(
                    "SELECT tasks.id FROM tasks JOIN grants ON grants.id = tasks.grant_id WHERE tasks.id = $1 AND ",
                    task_running!("$2"),
                    " AND ",
                    grant_alive!("$2")
                ),
                values![id, now],
            )
            .await?;
        Ok(running.map_or(Taken::Over, |_| Taken::Spent))
    }

    /// Returns a taken call to the budget if nothing of it was sent. A budget never grows beyond its total.
    pub async fn give_back(&mut self, id: TaskId) -> Result<(), StoreError> {
        let given = self
            .tx
            .execute_one(
                "UPDATE tasks SET calls_left = calls_left + 1 WHERE id = $1 AND calls_left < calls_total",
                values![id],
            )
            .await?;
        if given { self.announce(id).await } else { Ok(()) }
    }

    /// Ends a task and its loans. Returns `true` if it was running.
    pub async fn finish(&mut self, id: TaskId, because: &str, now: Timestamp) -> Result<bool, StoreError> {
        let finished = self
            .tx
            .execute_one(
                concat!(
                    "UPDATE tasks SET ended_at = $3, ended_because = $2 WHERE tasks.id = $1 AND ",
                    task_running!("$3")
                ),
                values![id, because, now],
            )
            .await?;
        if finished {
            self.ended(id, now).await?;
        }
        Ok(finished)
    }

    /// Changes the definition of a task, if it is not over and its grant is alive. Otherwise returns `false` and
    /// changes nothing.
    ///
    /// The rest of the budget grows by as much as the budget; calls that are taken meanwhile stay taken. A definition
    /// without `calls` has no budget; a task that gets one starts with all of it.
    pub async fn widen(
        &mut self,
        id: TaskId,
        definition: &TaskDefinition,
        ends_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(task) = self.find(id).await? else { return Ok(false) };
        // The grant of a task never changes.
        if !self.tx.grants().hold(task.grant, now).await? {
            return Ok(false);
        }
        let total = definition.calls.map(i64::from);
        let widened = self
            .tx
            .execute_one(
                concat!(
                    "UPDATE tasks SET definition = $2, calls_total = $3, ends_at = $4, calls_left = CASE
                         WHEN $3 IS NULL OR calls_total IS NULL THEN $3
                         WHEN calls_left + $3 - calls_total < 0 THEN 0
                         ELSE calls_left + $3 - calls_total END
                     WHERE tasks.id = $1 AND ",
                    task_running!("$5")
                ),
                values![id, json(definition)?, total, ends_at, now],
            )
            .await?;
        if widened {
            self.announce(id).await?;
        }
        Ok(widened)
    }

    /// Lets the tokens of a grant continue without its current task, which is over: in the task that it was inside of,
    /// if that still runs. Tokens made for the ended task become invalid. Returns `false` if the grant is not alive or
    /// has no current task that is over.
    pub async fn resume(&mut self, grant: GrantId, now: Timestamp) -> Result<bool, StoreError> {
        // Locked first, so that the next statement sees every task that the grant could name.
        if !self.tx.grants().hold(grant, now).await? {
            return Ok(false);
        }
        let resumed = self
            .tx
            .execute_one(
                concat!(
                    "UPDATE grants SET epoch = epoch + 1, task = (
                         SELECT tasks.id FROM tasks JOIN tasks own ON own.parent = tasks.id
                         WHERE own.id = grants.task AND ",
                    task_running!("$2"),
                    ") WHERE grants.id = $1 AND grants.task IS NOT NULL
                         AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = grants.task AND ",
                    task_running!("$2"),
                    ")"
                ),
                values![grant, now],
            )
            .await?;
        if resumed {
            self.tx.changed(ChangeKind::Grant, grant);
        }
        Ok(resumed)
    }

    /// Locks a running task until this transaction ends, if it belongs to the grant or limits it. Returns `false` if it
    /// is over.
    pub(crate) async fn hold(&mut self, id: TaskId, grant: GrantId, now: Timestamp) -> Result<bool, StoreError> {
        self.tx
            .execute_one(
                concat!(
                    "UPDATE tasks SET server = server
                     WHERE tasks.id = $1
                         AND (tasks.grant_id = $2 OR tasks.id = (SELECT task FROM grants WHERE grants.id = $2))
                         AND ",
                    task_running!("$3")
                ),
                values![id, grant, now],
            )
            .await
    }

    /// Ends the tasks of grants that were revoked in this transaction; those grants are announced already.
    pub(crate) async fn end_of_revoked(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.tx
            .execute(
                concat!(
                    "UPDATE tasks SET ended_at = $1, ended_because = 'grant revoked'
                     WHERE ",
                    task_running!("$1"),
                    " AND grant_id IN (SELECT grants.id FROM grants WHERE grants.revoked_at IS NOT NULL)"
                ),
                values![now],
            )
            .await?;
        self.tx.loans().end_of_revoked(now).await
    }

    /// Ends the tasks inside a task that ended.
    async fn ended(&mut self, id: TaskId, now: Timestamp) -> Result<(), StoreError> {
        let mut over = vec![id];
        while let Some(id) = over.pop() {
            self.tx.loans().end_of_task(id, now).await?;
            self.announce(id).await?;
            let inside = self
                .tx
                .fetch_all(
                    concat!(
                        "UPDATE tasks SET ended_at = $2, ended_because = 'what it was inside of ended'
                         WHERE tasks.parent = $1 AND ",
                        task_running!("$2"),
                        " RETURNING id"
                    ),
                    values![id, now],
                )
                .await?;
            for row in inside {
                over.push(row.parse("id")?);
            }
        }
        Ok(())
    }

    /// Announces every grant whose cached state contains this task.
    async fn announce(&mut self, id: TaskId) -> Result<(), StoreError> {
        let rows = self
            .tx
            .fetch_all(
                "SELECT grant_id AS holder FROM tasks WHERE id = $1 UNION SELECT id FROM grants WHERE task = $1",
                values![id],
            )
            .await?;
        for row in rows {
            self.tx.changed(ChangeKind::Grant, row.text("holder")?);
        }
        Ok(())
    }
}

fn read(row: Row) -> Result<Task, StoreError> {
    Ok(Task {
        id: row.parse("id")?,
        grant: row.parse("grant_id")?,
        parent: row.parse_opt("parent")?,
        server: row.parse("server")?,
        definition: row.json("definition")?,
        origin: row.parse("origin")?,
        calls_left: row.int_opt("calls_left")?,
        created_at: row.time("created_at")?,
        ends_at: row.time_opt("ends_at")?,
        ended_at: row.time_opt("ended_at")?,
    })
}
