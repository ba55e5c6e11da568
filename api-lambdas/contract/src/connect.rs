//! What Connect says of a user, and how long that is believed.

use jiff::Timestamp;

use crate::items::User;
use crate::ports::{Answer, Connect, Table};

/// Asks Connect. `None`: it knows no such user.
pub async fn look_up(connect: &impl Connect, id: &str, now: Timestamp) -> Answer<Option<User>> {
    let Some(found) = connect.user(id).await? else { return Ok(None) };
    let group = match found.hierarchy_group_id {
        Some(group) => {
            let summary = connect.group(&group).await?;
            Some((group, summary))
        }
        None => None,
    };
    Ok(Some(User::new(id.into(), group, found.security_profile_ids, now)))
}

/// The user as the table knows them, looked up again if that is some minutes old.
/// `None`: the table does not know them, or not any more.
pub async fn fresh_user(
    table: &impl Table,
    connect: &impl Connect,
    id: &str,
    now: Timestamp,
) -> Answer<Option<User>> {
    let Some(known) = table.user(id).await?.filter(|user| user.is_known(now)) else {
        return Ok(None);
    };
    if known.is_fresh(now) {
        return Ok(Some(known));
    }
    // What is known is good enough where Connect does not answer.
    let found = match look_up(connect, id, now).await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Some(known)),
        Err(error) => {
            let error = crate::lambda::chain(&error);
            tracing::warn!(error, "the user's group may be out of date");
            return Ok(Some(known));
        }
    };
    if let Err(error) = table.put_user(&found).await {
        tracing::warn!(error = crate::lambda::chain(&error), "the user is not kept");
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::fake::{Fake, a_user, now};
    use crate::ports::ConnectUser;

    fn connect_user() -> ConnectUser {
        ConnectUser {
            username: "agent".into(),
            hierarchy_group_id: Some("g".into()),
            security_profile_ids: vec!["p".into()],
        }
    }

    #[tokio::test]
    async fn a_user_is_asked_for_again_only_after_some_minutes() {
        let fake = Fake::new();
        fake.state().connect_users.insert("connect-1".into(), connect_user());
        let soon = now() + SignedDuration::from_secs(5 * 60 + 59);
        let user = fresh_user(&fake, &fake, "connect-1", soon).await.unwrap().unwrap();
        assert_eq!(user, a_user());
        let later = now() + SignedDuration::from_mins(6);
        let user = fresh_user(&fake, &fake, "connect-1", later).await.unwrap().unwrap();
        assert_eq!(user.hierarchy_group_id.as_deref(), Some("g"));
        assert_eq!(fake.state().users["connect-1"], user);
    }

    #[tokio::test]
    async fn what_is_known_is_used_where_connect_does_not_answer() {
        let fake = Fake::new();
        fake.state().failing.insert("describe_user");
        let later = now() + SignedDuration::from_mins(6);
        let user = fresh_user(&fake, &fake, "connect-1", later).await.unwrap();
        assert_eq!(user, Some(a_user()));
        // But not for ever, and not somebody who was never there.
        let too_late = now() + SignedDuration::from_hours(13);
        assert_eq!(fresh_user(&fake, &fake, "connect-1", too_late).await.unwrap(), None);
        assert_eq!(fresh_user(&fake, &fake, "connect-2", now()).await.unwrap(), None);
    }
}
