/**
 * An agent: a user of the deployed pool who signs in as the agents' application does,
 * and calls the API with the credentials of the deployed identity pool.
 */
import { at, isObject, type Json } from "../support/assembly";
import { succeeded, targeted, type Deployment } from "./deployment";
import { attributes, type Answer, type Call, type Keys } from "./signed";
import { Srp } from "./srp";

const PASSWORD = "Agent-12345678!";

export interface Plan {
  readonly email: string;
  /** Who they are in Connect, if the pool knows that. */
  readonly connectUserId?: string;
  /** What the table knows of them, if they have been put there. */
  readonly securityProfileIds?: readonly string[];
}

export interface Agent {
  readonly username: string;
  readonly connectUserId: string;
  readonly idToken: string;
  readonly keys: Keys;
  readonly claims: { readonly [key: string]: Json };
}

export async function agent(of: Deployment, plan: Plan): Promise<Agent> {
  const { email, connectUserId, securityProfileIds } = plan;
  const UserPoolId = of.output("userPoolId");
  const attribute = (Name: string, Value: string) => ({ Name, Value });
  const made = await of.does(IDP, `${POOL}.AdminCreateUser`, {
    UserPoolId,
    Username: email,
    MessageAction: "SUPPRESS",
    UserAttributes: [
      attribute("email", email),
      attribute("email_verified", "true"),
      ...(connectUserId === undefined ? [] : [attribute("custom:connectUserId", connectUserId)]),
    ],
  });
  const username = String(at(made, "User", "Username"));
  await of.does(IDP, `${POOL}.AdminSetUserPassword`, {
    UserPoolId,
    Username: username,
    Password: PASSWORD,
    Permanent: true,
  });
  if (connectUserId !== undefined && securityProfileIds !== undefined) {
    await put(of, {
      PK: `CUC#${connectUserId}`,
      SK: `CUC#${connectUserId}`,
      entityType: "ConnectUserCache",
      connectUserId,
      hierarchyGroupSummary: null,
      securityProfileIds: [...securityProfileIds],
      createdAt: new Date().toISOString(),
      TTL: Math.floor(Date.now() / 1000) + 3600,
    });
  }
  const idToken = await signIn(of, email);
  const claims = JSON.parse(
    Buffer.from(idToken.split(".")[1] ?? "", "base64url").toString(),
  ) as Json;
  return {
    username,
    connectUserId: connectUserId ?? "",
    idToken,
    keys: await credentials(of, idToken),
    claims: isObject(claims) ? claims : {},
  };
}

/** Writes an item into the deployed table, as another part of the solution does. */
export async function put(of: Deployment, item: { readonly [key: string]: Json }): Promise<void> {
  await of.does("dynamodb", "DynamoDB_20120810.PutItem", {
    TableName: "VideoCallEscalationDB",
    Item: attributes(item),
  });
}

/** Calls the API as an agent; with their own token, if no other is given. */
export function ask(
  of: Deployment,
  { keys, idToken }: Agent,
  [method, path]: readonly [string, string],
  body?: Json,
  token: string | null = idToken,
): Promise<Answer> {
  const asked: Call = {
    method,
    path,
    headers: {
      ...(body !== undefined && { "content-type": "application/json" }),
      ...(token !== null && { cognitoidtoken: token }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  };
  return of.api(asked, keys);
}

const IDP = "cognito-idp";
const POOL = "AWSCognitoIdentityProviderService";

async function signIn(of: Deployment, email: string): Promise<string> {
  const ClientId = of.output("userPoolWebClientId");
  const srp = new Srp();
  const anybody = async (operation: string, body: Json): Promise<Json> => {
    const target = `${POOL}.${operation}`;
    return succeeded(target, await of.unsigned(IDP, targeted(target, body)));
  };
  const asked = await anybody("InitiateAuth", {
    ClientId,
    AuthFlow: "USER_SRP_AUTH",
    AuthParameters: { USERNAME: email, SRP_A: srp.publicA },
  });
  const parameter = (name: string): string => String(at(asked, "ChallengeParameters", name));
  const { timestamp, signature } = srp.answer(
    {
      poolId: of.output("userPoolId"),
      userId: parameter("USER_ID_FOR_SRP"),
      password: PASSWORD,
      salt: parameter("SALT"),
      publicB: parameter("SRP_B"),
      secretBlock: parameter("SECRET_BLOCK"),
    },
    new Date(),
  );
  const signedIn = await anybody("RespondToAuthChallenge", {
    ClientId,
    ChallengeName: "PASSWORD_VERIFIER",
    ChallengeResponses: {
      USERNAME: parameter("USER_ID_FOR_SRP"),
      TIMESTAMP: timestamp,
      PASSWORD_CLAIM_SIGNATURE: signature,
      PASSWORD_CLAIM_SECRET_BLOCK: parameter("SECRET_BLOCK"),
    },
  });
  return String(at(signedIn, "AuthenticationResult", "IdToken"));
}

async function credentials(of: Deployment, idToken: string): Promise<Keys> {
  const identity = "AWSCognitoIdentityService";
  const region = of.output("backendRegion");
  const Logins = {
    [`cognito-idp.${region}.amazonaws.com/${of.output("userPoolId")}`]: idToken,
  };
  const anybody = async (operation: string, body: Json): Promise<Json> => {
    const target = `${identity}.${operation}`;
    return succeeded(target, await of.unsigned("cognito-identity", targeted(target, body)));
  };
  const IdentityPoolId = of.output("identityPoolId");
  const { IdentityId = null } = object(await anybody("GetId", { IdentityPoolId, Logins }));
  const given = await anybody("GetCredentialsForIdentity", { IdentityId, Logins });
  const text = (name: string): string => String(at(given, "Credentials", name));
  return {
    accessKeyId: text("AccessKeyId"),
    secretAccessKey: text("SecretKey"),
    sessionToken: text("SessionToken"),
  };
}

function object(json: Json): { readonly [key: string]: Json } {
  return isObject(json) ? json : {};
}
