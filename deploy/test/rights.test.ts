/**
 * What each Lambda and the recorder may do, held against a table made by hand, and
 * against what the tests of the whole product (tests/local-cloud) let them do.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { at, list, type Assembly } from "./support/assembly";
import { exampleSettings, repository, synthesised } from "./support/product";

const product = synthesised();

const TABLE = "arn:aws:dynamodb:eu-central-1:111122223333:table/VideoCallEscalationDB";
const BUCKET = "arn:aws:s3:::videocallescalation-recordingbucket-111122223333-eu-central-1";
const CLUSTER = "arn:aws:ecs:eu-central-1:111122223333:cluster/VideoCallEscalation-Recording";
const TASKS = "arn:aws:ecs:eu-central-1:111122223333:task/VideoCallEscalation-Recording/*";
const TASK_DEFINITION = "{Recording/Task/recordingTaskDefinition}";
const CONNECT =
  "arn:aws:connect:us-east-1:111122223333:instance/00000000-0000-4000-8000-000000000001";
const IN_CLUSTER = ` if ${JSON.stringify({ ArnEquals: { "ecs:cluster": CLUSTER } })}`;
const TO_TASKS = ` if ${JSON.stringify({
  StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" },
})}`;

/** As the statements of tests/local-cloud/src/policies.rs are called. */
const MEANING = {
  READ: [`dynamodb:GetItem on ${TABLE}`, `dynamodb:Query on ${TABLE}`],
  WRITE: [
    `dynamodb:ConditionCheckItem on ${TABLE}`,
    `dynamodb:DeleteItem on ${TABLE}`,
    `dynamodb:PutItem on ${TABLE}`,
    `dynamodb:UpdateItem on ${TABLE}`,
  ],
  RUN: [`ecs:RunTask on ${TASK_DEFINITION}${IN_CLUSTER}`],
  START: [`ecs:StartTask on ${TASK_DEFINITION}${IN_CLUSTER}`],
  PASS: [
    `iam:PassRole on {Recording/Task/ExecutionRole.Arn}${TO_TASKS}`,
    `iam:PassRole on {Recording/Task/TaskRole.Arn}${TO_TASKS}`,
  ],
  LIST: [`ecs:ListTasks on *${IN_CLUSTER}`],
  DESCRIBE: [`ecs:DescribeTasks on ${TASKS}`],
  STOP: [`ecs:StopTask on ${TASKS}`],
  INVITE: ["chime:CreateAttendee on *"],
  REMOVE: ["chime:DeleteAttendee on *"],
  USER: [`connect:DescribeUser on ${CONNECT}/user/*`, `connect:DescribeUser on ${CONNECT}/agent/*`],
  GROUP: [`connect:DescribeUserHierarchyGroup on ${CONNECT}/agent-group/*`],
  CONTACT: [`connect:UpdateContactAttributes on ${CONNECT}/contact/*`],
  ATTRIBUTES: [
    "cognito-idp:AdminUpdateUserAttributes on " +
      "arn:aws:cognito-idp:eu-central-1:111122223333:userpool/{Identity/Cognito/UserPool}",
  ],
  PLAY: [`s3:GetObject on ${BUCKET}/RECORDINGS/*`],
  REPAIR: [
    `s3:AbortMultipartUpload on ${BUCKET}/RECORDINGS/*`,
    `s3:GetObject on ${BUCKET}/RECORDINGS/*`,
    `s3:ListMultipartUploadParts on ${BUCKET}/RECORDINGS/*`,
    `s3:PutObject on ${BUCKET}/RECORDINGS/*`,
  ],
  RECORD: [
    `s3:AbortMultipartUpload on ${BUCKET}/RECORDINGS/*`,
    `s3:PutObject on ${BUCKET}/RECORDINGS/*`,
  ],
  UPLOADS: [`s3:ListBucket on ${BUCKET}`, `s3:ListBucketMultipartUploads on ${BUCKET}`],
} as const;

interface Expected {
  /** Where its role is. */
  readonly role: string;
  readonly may: readonly (keyof typeof MEANING)[];
  /** Events that it gives up go into a queue. */
  readonly events?: boolean;
}

const STOPS = ["READ", "WRITE", "LIST", "DESCRIBE", "STOP", "REMOVE"] as const;

const EXPECTED: Record<string, Expected> = {
  "start-recording": {
    role: "RecordingAPI/StartRecordingLambda",
    may: [
      "READ", "WRITE", "RUN", "PASS", "LIST", "DESCRIBE", "STOP", "INVITE", "REMOVE", "USER",
      "GROUP", "CONTACT",
    ],
  },
  "stop-recording": { role: "RecordingAPI/StopRecordingLambda", may: STOPS },
  "stop-recording-event": { role: "stopRecordingEventTargetLambda", may: STOPS, events: true },
  "recording-summary": {
    role: "RecordingAPI/GetRecordingSummaryLambda",
    may: ["READ", "PLAY"],
  },
  "start-pre-warm": {
    role: "Recording/startRecordingPreWarmTaskLambda",
    may: ["START", "PASS", "LIST", "DESCRIBE"],
    events: true,
  },
  "put-connect-user-cache": {
    role: "RecordingAPI/PutConnectUserCacheLambda",
    may: ["READ", "WRITE", "USER", "GROUP"],
  },
  "set-connect-user-id": {
    role: "RecordingAPI/SetConnectUserIdLambda",
    may: ["USER", "ATTRIBUTES"],
  },
  "recording-task-state": {
    role: "Recording/recordingTaskStateLambda",
    may: [...STOPS, "REPAIR", "UPLOADS"],
    events: true,
  },
  "recording-sweeper": {
    role: "Recording/recordingSweeperLambda",
    may: [...STOPS, "REPAIR", "UPLOADS"],
    events: true,
  },
};

/** Each right of a role as a line: `action on resource`, and its condition. */
function rights(of: Assembly, role: string): string[] {
  const policies = of
    .all("AWS::IAM::Policy")
    .filter(({ properties }) => list(at(properties, "Roles")).includes(`{${role}}`));
  const statements = policies.flatMap(({ properties }) =>
    list(at(properties, "PolicyDocument", "Statement")),
  );
  return statements
    .flatMap((statement) => {
      expect(at(statement, "Effect")).toBe("Allow");
      const condition = at(statement, "Condition");
      const when = condition === null ? "" : ` if ${JSON.stringify(condition)}`;
      return list(at(statement, "Action")).flatMap((action) =>
        list(at(statement, "Resource")).map((resource) => `${action} on ${resource}${when}`),
      );
    })
    .sort();
}

describe("may do what the table says, and nothing more:", () => {
  test.each(Object.entries(EXPECTED))("%s", (_, { role, may, events }) => {
    const log = `{${role}/Log.Arn}:*`;
    const expected = [
      ...may.flatMap((name) => MEANING[name]),
      `logs:CreateLogStream on ${log}`,
      `logs:PutLogEvents on ${log}`,
      ...(events === true ? [`sqs:SendMessage on {${role}/LostEvents.Arn}`] : []),
    ];
    expect(rights(product, `${role}/Role`)).toEqual(expected.sort());
  });

  test("the recorder", () => {
    expect(rights(product, "Recording/Task/TaskRole")).toEqual([...MEANING.RECORD].sort());
  });

  test("ECS for a task", () => {
    const repository =
      "arn:aws:ecr:eu-central-1:111122223333:repository/" +
      "cdk-hnb659fds-container-assets-111122223333-eu-central-1";
    const log = "{Recording/Task/recordingLogGroup.Arn}";
    expect(rights(product, "Recording/Task/ExecutionRole")).toEqual(
      [
        `ecr:BatchCheckLayerAvailability on ${repository}`,
        `ecr:BatchGetImage on ${repository}`,
        `ecr:GetDownloadUrlForLayer on ${repository}`,
        "ecr:GetAuthorizationToken on *",
        `logs:CreateLogStream on ${log}`,
        `logs:PutLogEvents on ${log}`,
      ].sort(),
    );
  });

  test("an agent", () => {
    const api =
      "arn:aws:execute-api:eu-central-1:111122223333:{RecordingAPI/Api/RecordingAPI}/$default";
    expect(rights(product, "Identity/Cognito/AuthenticatedRole")).toEqual(
      [
        `execute-api:Invoke on ${api}/POST/recording`,
        `execute-api:Invoke on ${api}/DELETE/recording`,
        `execute-api:Invoke on ${api}/GET/recording-summary`,
        `execute-api:Invoke on ${api}/POST/setConnectUserId`,
        `execute-api:Invoke on ${api}/PUT/connect-user-cache`,
      ].sort(),
    );
  });

  test("every role is one of these, or of the instances", () => {
    const known = [
      ...Object.values(EXPECTED).map(({ role }) => `${role}/Role`),
      "Recording/Task/TaskRole",
      "Recording/Task/ExecutionRole",
      "Identity/Cognito/AuthenticatedRole",
      "Recording/RecordingCompute/Fleet/Role",
    ];
    expect(product.all("AWS::IAM::Role").map(({ path }) => path).sort()).toEqual(known.sort());
    for (const { properties, path } of product.all("AWS::IAM::Role")) {
      expect(at(properties, "ManagedPolicyArns"), path).toBe(null);
      expect(at(properties, "Policies"), path).toBe(null);
    }
  });
});

test("a key of one's own is for those who write and for those who play", () => {
  const key = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-4000-8000-000000000009";
  const own = synthesised(exampleSettings({ existing: { kmsKeyArn: key } }));
  const withKey = (role: string) => rights(own, role).filter((right) => right.startsWith("kms:"));
  const write = [`kms:Decrypt on ${key}`, `kms:GenerateDataKey on ${key}`];
  expect(withKey("Recording/Task/TaskRole")).toEqual(write);
  expect(withKey("Recording/recordingSweeperLambda/Role")).toEqual(write);
  expect(withKey("Recording/recordingTaskStateLambda/Role")).toEqual(write);
  expect(withKey("RecordingAPI/GetRecordingSummaryLambda/Role")).toEqual(write.slice(0, 1));
  expect(withKey("RecordingAPI/StartRecordingLambda/Role")).toEqual([]);
});

describe("has the rights with which the whole product is tested:", () => {
  const source = readFileSync(join(repository, "tests/local-cloud/src/policies.rs"), "utf8");

  test.each(Object.keys(EXPECTED))("%s", (name) => {
    const { may } = EXPECTED[name] ?? { may: [] };
    const actions = may.flatMap((meaning) => MEANING[meaning].map((right) => right.split(" ")[0]));
    expect([...new Set(actions)].sort()).toEqual(testedActions(source, name));
  });
});

/** The actions that a role has in the Rust tests: names of statements, or written out. */
function testedActions(source: string, name: string): string[] {
  const role = new RegExp(`name: "${name}",\\s*statements: &\\[([^;]*?)\\]\\s*,?\\s*\\}`).exec(source);
  const body = role?.[1];
  if (body === undefined) throw new Error(`policies.rs has no role ${name}`);
  const constants = [...body.matchAll(/\b[A-Z]{3,}\b/g)].map(([constant]) => {
    const said = new RegExp(`const ${constant}: Statement =([^;]*);`).exec(source);
    return said?.[1] ?? "";
  });
  const actions = [body, ...constants].flatMap((text) =>
    [...text.matchAll(/"([a-z0-9-]+:[A-Za-z]+)"/g)].map(([, action]) => action ?? ""),
  );
  return [...new Set(actions)].sort();
}
