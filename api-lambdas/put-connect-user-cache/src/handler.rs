//! `PUT /connect-user-cache`: writes what Connect says of the caller into the table,
//! where starts and summaries read it. Their application asks for it each time that
//! it is opened, so what is only some minutes old stays.

use contract::connect::look_up;
use contract::http::{Refusal, Success};
use contract::identity::Caller;
use contract::ports::{Connect, Fault, Table};
use jiff::Timestamp;

const DONE: &str = "Put Connect User Cache successfully!";
const SKIPPED: &str = "Skipping Put Connect User Cache!";
const LATER: &str = "Put Connect User Cache Error, please try again later";

/// The services that this needs.
#[derive(Debug)]
pub(crate) struct Services<'a, T, C> {
    pub(crate) table: &'a T,
    pub(crate) connect: &'a C,
}

pub(crate) async fn handle(
    &Services { table, connect }: &Services<'_, impl Table, impl Connect>,
    caller: &Caller,
    now: Timestamp,
) -> Result<Success, Refusal> {
    let id = caller
        .connect_user_id
        .as_deref()
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Refusal::new(400, "Must provide connectUserId", "no_connect_user_id"))?;
    let known = table.user(id).await.map_err(later("user"))?;
    if known.is_some_and(|user| user.is_fresh(now)) {
        return Ok(Success::new(SKIPPED, false));
    }
    let user = look_up(connect, id, now).await.map_err(later("connect"))?;
    let user = user.ok_or_else(|| {
        Refusal::new(500, LATER, "user_unknown").because("Connect knows no such user")
    })?;
    table.put_user(&user).await.map_err(later("put_user"))?;
    Ok(Success::new(DONE, true))
}

fn later(reason: &'static str) -> impl Fn(Fault) -> Refusal {
    move |error| Refusal::new(500, LATER, reason).because(error)
}

#[cfg(test)]
mod tests {
    use contract::fake::{Fake, a_user, now};
    use contract::items::User;
    use contract::ports::ConnectUser;
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    fn caller(connect_user_id: Option<&str>) -> Caller {
        Caller {
            username: Some("agent".into()),
            email: Some("agent@example.org".into()),
            connect_user_id: connect_user_id.map(str::to_owned),
        }
    }

    /// The table has a user from [`now`]; Connect says that they are in a group now.
    fn fake() -> Fake {
        let fake = Fake::new();
        let user = ConnectUser {
            username: "agent".into(),
            hierarchy_group_id: Some("g".into()),
            security_profile_ids: vec!["p".into(), "q".into()],
        };
        fake.state().connect_users.insert("connect-1".into(), user);
        fake
    }

    async fn put(fake: &Fake, at: Timestamp) -> Result<Success, Refusal> {
        let services = Services { table: fake, connect: fake };
        handle(&services, &caller(Some("connect-1")), at).await
    }

    fn after(minutes: i64, seconds: i64) -> Timestamp {
        now() + SignedDuration::from_secs(minutes * 60 + seconds)
    }

    #[tokio::test]
    async fn a_user_is_looked_up_again_from_six_full_minutes_on() {
        for (at, is_put, text) in [
            (after(0, 0), false, "Skipping Put Connect User Cache!"),
            (after(5, 0), false, "Skipping Put Connect User Cache!"),
            (after(5, 59), false, "Skipping Put Connect User Cache!"),
            (after(6, 0), true, "Put Connect User Cache successfully!"),
            (after(13 * 60, 0), true, "Put Connect User Cache successfully!"),
        ] {
            let fake = fake();
            let success = put(&fake, at).await.unwrap();
            assert_eq!(
                success.reply("r-1").body,
                json!({ "success": text, "data": is_put, "reqId": "r-1" }),
                "{at}"
            );
            let group = json!({
                "Id": "g", "LevelId": "1", "HierarchyPath": { "LevelOne": { "Id": "g" } },
            });
            let profiles = vec!["p".into(), "q".into()];
            let found = User::new("connect-1".into(), Some(("g".into(), group)), profiles, at);
            let wanted = if is_put { found } else { a_user() };
            assert_eq!(fake.state().users["connect-1"], wanted, "{at}");
        }
    }

    #[tokio::test]
    async fn a_user_whom_the_table_does_not_know_is_looked_up() {
        let fake = fake();
        fake.state().users.clear();
        assert_eq!(put(&fake, now()).await.unwrap().data, true);
        assert_eq!(put(&fake, now()).await.unwrap().data, false);
    }

    #[tokio::test]
    async fn a_user_who_has_expired_is_looked_up_however_new_they_are() {
        let fake = fake();
        fake.state().users.get_mut("connect-1").unwrap().ttl = now().as_second() - 1;
        assert_eq!(put(&fake, now()).await.unwrap().data, true);
    }

    #[tokio::test]
    async fn a_user_without_a_group_has_none_in_the_table() {
        let fake = fake();
        fake.state().connect_users.get_mut("connect-1").unwrap().hierarchy_group_id = None;
        assert_eq!(put(&fake, after(6, 0)).await.unwrap().data, true);
        let state = fake.state();
        assert_eq!(state.users["connect-1"].hierarchy_group_id, None);
        assert!(!state.done.contains(&"describe_group".to_owned()));
    }

    #[tokio::test]
    async fn who_has_no_id_in_connect_is_refused() {
        for id in [None, Some("")] {
            let fake = fake();
            let services = Services { table: &fake, connect: &fake };
            let refusal = handle(&services, &caller(id), now()).await.unwrap_err();
            let told = (refusal.status, &*refusal.message);
            assert_eq!(told, (400, "Must provide connectUserId"), "{id:?}");
            assert!(fake.state().done.is_empty(), "{id:?}");
        }
    }

    #[tokio::test]
    async fn what_fails_is_for_later_and_leaves_the_table_as_it_is() {
        for action in ["user", "describe_user", "describe_group", "put_user", "unknown"] {
            let fake = fake();
            fake.state().failing.insert(action);
            if action == "unknown" {
                fake.state().connect_users.clear();
            }
            let refusal = put(&fake, after(6, 0)).await.unwrap_err();
            assert_eq!(
                (refusal.status, &*refusal.message),
                (500, "Put Connect User Cache Error, please try again later"),
                "{action}"
            );
            assert!(refusal.source.is_some(), "the log has no cause for {action}");
            assert_eq!(fake.state().users["connect-1"], a_user(), "{action}");
        }
    }
}
