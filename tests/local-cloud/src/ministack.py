"""ministack, with what the local cloud needs beyond it. Started by ministack.rs.

Each change has its reason beside it. Three additions are asked for over HTTP, on
loopback and for tests only, since they hand out and take secrets:

    POST /_test/authorize  who signed with this key, and whether they may do that
    POST /_test/sessions   credentials that functions get for their role
    POST /_test/tokens     a token of a pool that says what the pool would not

The version is pinned: what is replaced here is ministack's own inside.
"""

import json
import os

import ministack.app as ministack
import ministack.services.cognito as cognito
import ministack.services.eventbridge as eventbridge
import ministack.services.lambda_svc as functions
import ministack.services.sts as sts
from ministack.core import iam_evaluator as iam
from ministack.core.responses import set_request_account_id

ACCOUNT = os.environ["MINISTACK_ACCOUNT_ID"]

# As AWS, ministack lets nobody put events with a source `aws.*`. Here tests and the
# ECS of this crate take the part of those services.
eventbridge._put_events.__defaults__ = (True,)

# Schedules are looked at every 10 s: a test would wait for that.
eventbridge._SCHEDULER_TICK_INTERVAL = 1


def dispatch_to_function(arn, payload):
    """An event for a function, which AWS invokes again after a function error.

    ministack's own calls it once, from a bare thread; its asynchronous invocation
    has the retries and the dead letters.
    """
    try:
        event = json.loads(payload)
    except (ValueError, TypeError):
        event = {"body": payload}
    function, config, _ = functions._get_func_record_for_ref(arn)
    if function and config:
        record = functions._execution_record_for_config(function, config)
        functions.invoke_async_with_retry(record, event)


eventbridge._dispatch_to_lambda = dispatch_to_function

# By role name. A function has one set of credentials for all services, and the
# store, which is not ministack, takes only those that it has issued itself.
sessions = {}
own_credentials = functions.execution_credentials


def credentials(config):
    """The credentials of a function: the store's, where it issued some for the role."""
    own = own_credentials(config)
    session = sessions.get(config.get("Role", "").rsplit("/", 1)[-1])
    if session is None:
        return own
    # ministack knows them from now on as a session of the same role.
    known = dict(sts._sessions[own["AWS_ACCESS_KEY_ID"]])
    known["SecretAccessKey"] = session["secretAccessKey"]
    known["SessionToken"] = session["sessionToken"]
    sts.register_session(session["accessKeyId"], known)
    return {
        "AWS_ACCESS_KEY_ID": session["accessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["secretAccessKey"],
        "AWS_SESSION_TOKEN": session["sessionToken"],
    }


functions.execution_credentials = credentials


def authorize(asked):
    """Who a key belongs to and, if an action is named, whether they may do it.

    ministack's SimulatePrincipalPolicy would leave out the context that conditions
    ask for, and looks at one resource only. With the secret the caller checks the
    signature.
    """
    key = asked["accessKeyId"]
    set_request_account_id(ACCOUNT)
    credential = iam.resolve_credential(key, ACCOUNT, asked.get("sessionToken") or "")
    if isinstance(credential, iam.CredentialResolutionError):
        return {"error": credential.code, "message": credential.message}
    answer = {
        "principalArn": credential.principal_arn,
        "secretAccessKey": credential.secret_access_key,
    }
    if "action" not in asked:
        return answer
    principal = iam.resolve_principal(key, ACCOUNT, credential)
    if isinstance(principal, iam.AuthError):
        return {"error": principal.code, "message": principal.message}
    if principal.policies is None:
        # The account itself.
        return answer | {"decision": "Allow"}
    named = {name.lower(): value for name, value in asked.get("context", {}).items()}
    context = iam.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=asked["action"],
        resource_arn=asked.get("resource", "*"),
        region=asked.get("region", "us-east-1"),
        service_context={"aws:tagkeys": None, **named},
        principal_keys=principal.keys,
    )
    decision = iam.evaluate(context, principal.policies, *principal.limits).decision
    return answer | {"decision": decision}


def take_sessions(given):
    sessions.update(given)
    return {}


def sign(asked):
    return {"token": cognito._signed_jwt(asked["claims"], asked["pool"], "id")}


ADDITIONS = {
    "/_test/authorize": authorize,
    "/_test/sessions": take_sessions,
    "/_test/tokens": sign,
}
inner = ministack.app


async def app(scope, receive, send):
    addition = ADDITIONS.get(scope["path"]) if scope["type"] == "http" else None
    if addition is None:
        return await inner(scope, receive, send)
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    try:
        status, answer = 200, addition(json.loads(body))
    except Exception as error:
        status, answer = 500, {"error": "InternalFailure", "message": repr(error)}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


# What `main` serves is this global.
ministack.app = app
ministack.main()
