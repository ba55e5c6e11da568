//! `POST /setConnectUserId`: ties a user of the pool to the user of Connect that they
//! say they are, once, and only if Connect knows that user by their name.
//!
//! The id decides later which recordings somebody may play, so it is never taken on
//! trust, and never changed.

use contract::http::{Refusal, Request, Success, text};
use contract::identity::Caller;
use contract::ports::{Connect, Fault, UserPool};
use serde_json::{Value, json};

const TEXT: &str = "Connect User Id set successfully!";
const LATER: &str = "Set Connect User Id Error, please try again later";

/// The most characters that the pool's attribute takes.
const LONGEST_ID: usize = 36;

/// The services that this needs.
#[derive(Debug)]
pub(crate) struct Services<'a, C, P> {
    pub(crate) connect: &'a C,
    pub(crate) pool: &'a P,
}

pub(crate) async fn handle(
    &Services { connect, pool }: &Services<'_, impl Connect, impl UserPool>,
    caller: &Caller,
    request: &Request,
) -> Result<Success, Refusal> {
    if caller.connect_user_id.as_deref().is_some_and(|id| !id.is_empty()) {
        return Err(Refusal::new(400, "Connect UserId already exists", "exists"));
    }
    let body = request.json();
    let id = text(&body, "connectUserId")
        .filter(|id| is_sound(id))
        .ok_or_else(|| Refusal::new(400, "Must provide connectUserId", "no_connect_user_id"))?;
    // Only sound ids are repeated.
    let invalid = |reason| Refusal::new(400, format!("Invalid connectUserId: {id}"), reason);
    let username = caller.username.as_deref().filter(|name| !name.is_empty());
    let username = username.ok_or_else(|| invalid("no_username"))?;
    let expected = if body["connectLoginByEmail"] == Value::Bool(true) {
        let email = caller.email.as_deref().filter(|email| !email.is_empty());
        connect_username(email.ok_or_else(|| invalid("no_email"))?)
    } else {
        username.to_owned()
    };
    let user = connect.user(id).await.map_err(later("connect"))?;
    let user = user.ok_or_else(|| invalid("user_unknown"))?;
    if user.username != expected {
        return Err(invalid("other_user"));
    }
    pool.set_connect_user_id(username, id).await.map_err(later("pool"))?;
    Ok(Success::new(TEXT, json!({ "connectUserId": id })))
}

fn is_sound(id: &str) -> bool {
    id.len() <= LONGEST_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// How Connect calls somebody who logs in by e-mail: it takes no `+` in a name, and
/// whoever makes the users replaces the first.
fn connect_username(email: &str) -> String {
    match email.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.replacen('+', "_", 1)),
        None => email.replacen('+', "_", 1),
    }
}

fn later(reason: &'static str) -> impl Fn(Fault) -> Refusal {
    move |error| Refusal::new(500, LATER, reason).because(error)
}

#[cfg(test)]
mod tests {
    use contract::fake::Fake;
    use contract::ports::ConnectUser;

    use super::*;

    const ID: &str = "11111111-2222-4333-8444-555555555555";

    fn caller() -> Caller {
        Caller {
            username: Some("agent".into()),
            email: Some("a+b+c@x.org".into()),
            connect_user_id: None,
        }
    }

    fn request(body: &Value) -> Request {
        Request {
            headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
            body: Some(body.to_string()),
            ..Request::default()
        }
    }

    /// Connect knows one user, by this name.
    fn fake(username: &str) -> Fake {
        let fake = Fake::new();
        let user = ConnectUser {
            username: username.into(),
            hierarchy_group_id: None,
            security_profile_ids: Vec::new(),
        };
        fake.state().connect_users.insert(ID.into(), user);
        fake
    }

    async fn set(fake: &Fake, caller: &Caller, body: &Value) -> Result<Success, Refusal> {
        handle(&Services { connect: fake, pool: fake }, caller, &request(body)).await
    }

    #[test]
    fn connect_knows_a_user_by_the_e_mail_with_its_first_plus_replaced() {
        for (email, username) in [
            ("a+b+c@x.org", "a_b+c@x.org"),
            ("a@x.org", "a@x.org"),
            ("a_b@x.org", "a_b@x.org"),
            ("+@x.org", "_@x.org"),
            ("a@x+y.org", "a@x+y.org"),
            ("\"a@b+c\"@x.org", "\"a@b_c\"@x.org"),
            ("a+b", "a_b"),
        ] {
            assert_eq!(connect_username(email), username);
        }
    }

    #[tokio::test]
    async fn a_user_is_tied_to_the_one_of_connect_with_their_name() {
        for (by_email, known_as) in [
            (json!(true), "a_b+c@x.org"),
            (json!(false), "agent"),
            (json!(null), "agent"),
            // Exactly true, as the original wanted it.
            (json!("true"), "agent"),
            (json!(1), "agent"),
        ] {
            let fake = fake(known_as);
            let body = json!({ "connectLoginByEmail": by_email, "connectUserId": ID });
            let success = set(&fake, &caller(), &body).await.unwrap();
            assert_eq!(
                success.reply("r-1").body,
                json!({
                    "success": "Connect User Id set successfully!",
                    "data": { "connectUserId": ID }, "reqId": "r-1",
                })
            );
            let pool = fake.state().pool.clone();
            assert_eq!(pool, [("agent".to_owned(), ID.to_owned())].into(), "{by_email}");
        }
    }

    #[tokio::test]
    async fn nobody_becomes_somebody_else() {
        let nameless = Caller { username: None, ..caller() };
        let no_email = Caller { email: None, ..caller() };
        let empty = Caller { email: Some(String::new()), ..caller() };
        let unknown = "99999999-2222-4333-8444-555555555555";
        for (name, caller, by_email, known_as, id) in [
            ("another's e-mail", caller(), true, "other@x.org", ID),
            ("the e-mail as it is", caller(), true, "a+b+c@x.org", ID),
            ("the name instead of the e-mail", caller(), true, "agent", ID),
            ("the e-mail instead of the name", caller(), false, "a_b+c@x.org", ID),
            ("another case", caller(), false, "Agent", ID),
            ("unknown to Connect", caller(), false, "agent", unknown),
            ("without a name", nameless, true, "a_b+c@x.org", ID),
            ("without an e-mail", no_email, true, "", ID),
            ("with an empty e-mail", empty, true, "", ID),
        ] {
            let fake = fake(known_as);
            let body = json!({ "connectLoginByEmail": by_email, "connectUserId": id });
            let refusal = set(&fake, &caller, &body).await.unwrap_err();
            let message = format!("Invalid connectUserId: {id}");
            assert_eq!((refusal.status, &*refusal.message), (400, &*message), "{name}");
            assert!(fake.state().pool.is_empty(), "{name}");
        }
    }

    #[tokio::test]
    async fn an_id_is_set_once() {
        let fake = fake("agent");
        let caller = Caller { connect_user_id: Some("connect-1".into()), ..caller() };
        // Whatever the body is: this comes first.
        for body in [json!({ "connectUserId": ID }), json!({})] {
            let refusal = set(&fake, &caller, &body).await.unwrap_err();
            let told = (refusal.status, &*refusal.message);
            assert_eq!(told, (400, "Connect UserId already exists"), "{body}");
        }
        assert!(fake.state().done.is_empty());

        let never_set = Caller { connect_user_id: Some(String::new()), ..caller };
        assert!(set(&fake, &never_set, &json!({ "connectUserId": ID })).await.is_ok());
    }

    #[tokio::test]
    async fn an_id_that_cannot_be_one_is_missing() {
        for id in [
            json!(null),
            json!(""),
            json!(7),
            json!([ID]),
            json!("x".repeat(37)),
            json!("../../users"),
            json!("a b"),
            json!("é"),
            json!("a\nb"),
        ] {
            let fake = fake("agent");
            let refusal = set(&fake, &caller(), &json!({ "connectUserId": id })).await.unwrap_err();
            let told = (refusal.status, &*refusal.message);
            assert_eq!(told, (400, "Must provide connectUserId"), "{id}");
            assert!(fake.state().done.is_empty(), "{id}");
        }
    }

    #[tokio::test]
    async fn a_service_that_does_not_answer_is_for_later() {
        for action in ["describe_user", "set_connect_user_id"] {
            let fake = fake("agent");
            fake.state().failing.insert(action);
            let refusal = set(&fake, &caller(), &json!({ "connectUserId": ID })).await.unwrap_err();
            assert_eq!(
                (refusal.status, &*refusal.message),
                (500, "Set Connect User Id Error, please try again later"),
                "{action}"
            );
            assert!(refusal.source.is_some(), "the log has no cause for {action}");
            assert!(fake.state().pool.is_empty(), "{action}");
        }
    }
}
