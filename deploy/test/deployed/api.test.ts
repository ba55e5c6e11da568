/**
 * The API as it is deployed, answered by the real Lambdas: with the rights, routes and
 * variables that the templates give them. What needs neither Chime nor Connect.
 * What it should say is what the tests of the whole product (tests/local-cloud) expect.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { at, list, type Json } from "../support/assembly";
import { repository } from "../support/product";
import { agent, ask, put, type Agent } from "./agent";
import { Deployment, targeted } from "./deployment";
import type { Answer } from "./signed";

/** In config.example.json. */
const PLAYBACK_PROFILE = "00000000-0000-4000-8000-000000000003";
const ORIGIN = "https://agents.example.com";

const START = ["POST", "/recording"] as const;
const STOP = ["DELETE", "/recording"] as const;
const summary = (meeting: string) =>
  ["GET", `/recording-summary?externalMeetingId=${meeting}`] as const;

let deployed: Deployment;
let agents: Record<"alice" | "bob" | "stranger" | "unknown" | "viewless", Agent>;

beforeAll(async () => {
  deployed = await Deployment.make();
  const onboarded = async (name: string, securityProfileIds?: string[]) =>
    agent(deployed, {
      email: `${name}@example.com`,
      connectUserId: crypto.randomUUID(),
      ...(securityProfileIds && { securityProfileIds }),
    });
  agents = {
    alice: await onboarded("alice", [PLAYBACK_PROFILE]),
    bob: await onboarded("bob", [PLAYBACK_PROFILE]),
    stranger: await agent(deployed, { email: "stranger@example.com" }),
    unknown: await onboarded("unknown"),
    viewless: await onboarded("viewless", ["another-profile"]),
  };
  const partition = "M#words";
  await put(deployed, {
    PK: partition,
    SK: partition,
    entityType: "Meeting",
    externalMeetingId: "words",
    ownerUsername: agents.alice.username,
    chimeMeetingId: crypto.randomUUID(),
    chimeMeetingData: {},
    TTL: 4_000_000_000,
  });
});

// Not there, if it could not be made.
afterAll(() => deployed?.stop());

/** Each status with its message that the tests of the whole product expect. */
const expected = new Set(
  [
    ...readFileSync(join(repository, "tests/local-cloud/tests/it/api.rs"), "utf8").matchAll(
      /(\d{3}),\s*(?:&json!\()?"([^"]+)"/g,
    ),
  ].map(([, status, message]) => `${status} ${message}`),
);

function said({ status, body }: Answer): string {
  return `${status} ${String(at(body, "message"))}`;
}

const about = (meeting: string): Json => ({ externalMeetingId: meeting });

type Case = readonly [
  what: string,
  who: keyof typeof agents,
  call: readonly [string, string],
  body: Json | undefined,
  answer: string,
];

const REFUSALS: readonly Case[] = [
  ["a start without a body", "alice", START, undefined, "400 Must provide External Meeting Id"],
  ["a start without a meeting", "alice", START, {}, "400 Must provide External Meeting Id"],
  ["a start by who is not in Connect", "stranger", START, about("words"), "400 Must provide connectUserId"],
  [
    "a start for no meeting",
    "alice",
    START,
    about("nowhere"),
    "404 Start Recording Error, meeting not found",
  ],
  [
    "a start by who does not own the meeting",
    "bob",
    START,
    about("words"),
    "400 Start Recording Error, user is not the owner",
  ],
  ["a stop without a meeting", "alice", STOP, {}, "400 Must provide External Meeting Id"],
  ["a stop with nothing in progress", "alice", STOP, about("words"), "404 No recording in progress"],
  ["a stop for no meeting", "alice", STOP, about("nowhere"), "404 No recording in progress"],
  [
    "a stop by who does not own the meeting",
    "bob",
    STOP,
    about("words"),
    "400 Stop Recording Error, user is not the owner",
  ],
  [
    "a summary without a meeting",
    "alice",
    ["GET", "/recording-summary"],
    undefined,
    "400 Must provide External Meeting Id",
  ],
  [
    "a summary for who is not in Connect",
    "stranger",
    summary("words"),
    undefined,
    "400 Must provide connectUserId",
  ],
  [
    "a summary for who has not logged in",
    "unknown",
    summary("words"),
    undefined,
    "500 Get Recording Summary Error, please try again later",
  ],
  [
    "a summary for who may not play",
    "viewless",
    summary("nowhere"),
    undefined,
    "403 Get Recording Summary Error, permission denied",
  ],
  [
    "a summary of a meeting without recordings",
    "alice",
    summary("words"),
    undefined,
    "404 Get Recording Summary Error, recordings not found for the provided meeting",
  ],
];

describe("is refused with the words of the tested API:", () => {
  test.each(REFUSALS)("%s", async (_, who, call, body, answer) => {
    expect(expected).toContain(answer);
    const got = await ask(deployed, agents[who], call, body);
    expect(said(got)).toBe(answer);
    expect(at(got.body, "reqId")).toEqual(expect.any(String));
    expect(got.headers["content-type"]).toBe("application/json");
  });

  test("a stop with nothing in progress counts none", async () => {
    const { body } = await ask(deployed, agents.alice, STOP, about("words"));
    expect(at(body, "data")).toEqual({ recordingsStopped: 0, recordingsNotStopped: 0 });
  });
});

describe("is not let in:", () => {
  test("a call without a signature", async () => {
    const { alice } = agents;
    const headers = { "content-type": "application/json", cognitoidtoken: alice.idToken };
    for (const [method, path] of [START, STOP, summary("words")]) {
      const body = JSON.stringify(about("words"));
      const got = await deployed.api({ method, path, headers, body });
      expect(said(got), `${method} ${path}`).toBe("403 Forbidden");
    }
    expect(expected).toContain("403 Forbidden");
  });

  test("a call signed with a wrong secret", async () => {
    const keys = { ...agents.alice.keys, secretAccessKey: "wrong" };
    const got = await ask(deployed, { ...agents.alice, keys }, STOP, about("words"));
    expect(got.status).toBe(403);
  });

  /** A token with other claims; the clocks may differ by a minute. */
  const changed = (claims: (now: number) => Record<string, Json>) => () =>
    deployed.token({ ...agents.alice.claims, ...claims(Math.floor(Date.now() / 1000)) });
  test.each<[string, () => string | null | Promise<string>, string]>([
    ["none", () => null, "401 Requested token is missing"],
    ["no token", () => "x", "401 Requested token is invalid"],
    ["an expired one", changed((now) => ({ exp: now - 70 })), "403 Claim is expired or invalid"],
    ["one of tomorrow", changed((now) => ({ auth_time: now + 86_400 })), "403 Claim is expired or invalid"],
    ["one of another application", changed(() => ({ aud: "another" })), "403 Claim audience is invalid"],
    ["one for access", changed(() => ({ token_use: "access" })), "403 Claim token_use is not id"],
    ["a changed one", () => reversedSignature(agents.alice), "403 Token signature is invalid"],
    ["another's", () => agents.bob.idToken, "403 Claim subject does not match"],
  ])("of tokens %s", async (_, token, answer) => {
    expect(expected).toContain(answer);
    const got = await ask(deployed, agents.alice, START, about("words"), await token());
    expect(said(got)).toBe(answer);
  });

  test("a token only for what was changed: expired half a minute ago, it is good", async () => {
    const late = await changed((now) => ({ exp: now - 30 }))();
    const got = await ask(deployed, agents.alice, STOP, about("words"), late);
    expect(said(got)).toBe("404 No recording in progress");
  });
});

function reversedSignature({ idToken }: Agent): string {
  const [head, claims, signature = ""] = idToken.split(".");
  return [head, claims, [...signature].reverse().join("")].join(".");
}

describe("an agent may call", () => {
  test("no other method or path", async () => {
    for (const call of [
      ["GET", "/recording"],
      ["PUT", "/recording"],
      ["POST", "/recording-summary"],
      ["GET", "/"],
      ["GET", "/recordings"],
    ] as const) {
      const { status } = await ask(deployed, agents.alice, call);
      expect([403, 404], call.join(" ")).toContain(status);
    }
  });

  test.each([
    ["dynamodb", "DynamoDB_20120810.Query", { TableName: "VideoCallEscalationDB" }],
    ["dynamodb", "DynamoDB_20120810.PutItem", { TableName: "VideoCallEscalationDB", Item: {} }],
    ["ecs", "AmazonEC2ContainerServiceV20141113.ListTasks", {}],
    ["ecs", "AmazonEC2ContainerServiceV20141113.RunTask", { taskDefinition: "any" }],
    ["ssm", "AmazonSSM.DescribeParameters", {}],
    ["cognito-idp", "AWSCognitoIdentityProviderService.ListUserPools", { MaxResults: 1 }],
  ])("nothing of %s: %s", async (service, target, body) => {
    const got = await deployed.service(service, targeted(target, body), agents.alice.keys);
    expect([400, 403]).toContain(got.status);
    expect(got.text).toContain("AccessDenied");
    expect(got.text).toContain("is not authorized to perform");
  });

  test("no Lambda beside the API, and nothing in the bucket", async () => {
    const invoke = "/2015-03-31/functions/VideoCallEscalation-StopRecordingLambda/invocations";
    const film = `/${deployed.output("recordingBucket")}/RECORDINGS/a.mp4`;
    for (const [service, method, path] of [
      ["lambda", "POST", invoke],
      ["s3", "GET", film],
      ["s3", "PUT", film],
    ] as const) {
      const asked = { method, path, body: method === "GET" ? "" : "{}" };
      const { status, text } = await deployed.service(service, asked, agents.alice.keys);
      expect(status, `${service} ${method}`).toBe(403);
      expect(text).toContain("AccessDenied");
    }
  });
});

describe("a page", () => {
  const preflight = (origin: string) =>
    deployed.api({
      method: "OPTIONS",
      path: "/recording",
      headers: {
        origin,
        "access-control-request-method": "DELETE",
        "access-control-request-headers": "authorization,cognitoidtoken",
      },
    });

  test("of the agents' application may call", async () => {
    const { status, headers } = await preflight(ORIGIN);
    expect(status).toBe(204);
    expect(headers["access-control-allow-origin"]).toBe(ORIGIN);
    expect(headers["access-control-allow-methods"]).toContain("DELETE");
    expect(String(headers["access-control-allow-headers"]).toLowerCase()).toContain("cognitoidtoken");
  });

  test("of another origin may not", async () => {
    const { headers } = await preflight("https://elsewhere.example.com");
    expect(headers["access-control-allow-origin"]).toBeUndefined();
  });
});

describe("recordings in the table", () => {
  const recording = (id: string, createdAt: string, more: Record<string, Json>) => ({
    PK: "M#filmed",
    SK: `REC#${id}`,
    entityType: "Recording",
    externalMeetingId: "filmed",
    recordingId: id,
    ownerUsername: agents.alice.username,
    ownerEmail: "alice@example.com",
    connectUserId: agents.alice.connectUserId,
    connectHierarchyGroupSummary: null,
    createdAt,
    recordingS3Bucket: deployed.output("recordingBucket"),
    recordingS3Object: `RECORDINGS/2024/03/05/07/${id}.mp4`,
    ecsTaskARN: "arn:aws:ecs:us-east-1:111122223333:task/VideoCallEscalation-Recording/a",
    TTL: 4_000_000_000,
    ...more,
  });
  const [first, second] = [
    "9f8e7d6c-0000-4000-8000-000000000001",
    "0a8e7d6c-0000-4000-8000-000000000002",
  ];

  test("are listed, oldest first, with an address for 15 minutes once there is a film", async () => {
    await put(deployed, recording(second, "2024-03-05T09:08:09.123Z", { status: "running" }));
    const ended = { endedAt: "2024-03-05T08:00:00.000Z", status: "complete" };
    await put(deployed, recording(first, "2024-03-05T07:08:09.123Z", ended));
    const { status, body } = await ask(deployed, agents.alice, summary("filmed"));
    expect({ status, body }).toEqual({
      status: 200,
      body: {
        success: "Get Recording Summary succeed!",
        reqId: expect.any(String),
        data: [
          {
            recordingId: first,
            createdAt: "2024-03-05T07:08:09.123Z",
            ...ended,
            recordingURL: expect.any(String),
          },
          { recordingId: second, createdAt: "2024-03-05T09:08:09.123Z", status: "running" },
        ],
      },
    });
    const address = new URL(String(at(list(at(body, "data"))[0], "recordingURL")));
    expect(address.pathname).toBe(
      `/${deployed.output("recordingBucket")}/RECORDINGS/2024/03/05/07/${first}.mp4`,
    );
    expect(address.searchParams.get("X-Amz-Expires")).toBe("900");
    expect(address.searchParams.get("X-Amz-Signature")).toMatch(/^[0-9a-f]{64}$/);
  });
});
