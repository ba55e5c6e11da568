/**
 * What each Lambda and the recorder may do, and nothing more. Data, and how it
 * becomes statements of a policy. It must not know who runs where.
 */
import { Arn, ArnFormat, Stack } from "aws-cdk-lib";
import { Effect, PolicyStatement } from "aws-cdk-lib/aws-iam";
import { CLUSTER, RECORDINGS_PREFIX } from "./names";

/** What a right may be about. */
export interface Things {
  readonly tableArn: string;
  /** Where the cluster is, if not where the stack is. */
  readonly clusterRegion?: string;
  readonly bucketName?: string;
  /** Encrypts the bucket, if it is a key of the customer's own. */
  readonly bucketKeyArn?: string | undefined;
  readonly taskDefinitionArn?: string;
  /** Which of the two roles RunTask checks was never certain, so it is both. */
  readonly taskRoleArns?: readonly string[];
  readonly connectInstanceArn?: string;
  readonly userPoolArn?: string;
}

export type Right =
  | "read"
  | "write"
  | "runTask"
  | "startTask"
  | "passRoles"
  | "findTasks"
  | "stopTask"
  | "invite"
  | "remove"
  | "connectUser"
  | "connectGroup"
  | "connectContact"
  | "userPool"
  | "play"
  | "record"
  | "repair"
  | "list";

/** Who ends recordings, and who mends what nobody ended. */
const STOPPER = ["read", "write", "findTasks", "stopTask", "remove"] as const;
const REPAIRER = [...STOPPER, "repair", "list"] as const;

export const RIGHTS = {
  "start-recording": [
    "read",
    "write",
    "runTask",
    "passRoles",
    "findTasks",
    "stopTask",
    "invite",
    "remove",
    "connectUser",
    "connectGroup",
    "connectContact",
  ],
  "stop-recording": STOPPER,
  "stop-recording-event": STOPPER,
  "recording-summary": ["read", "play"],
  "start-pre-warm": ["startTask", "passRoles", "findTasks"],
  "put-connect-user-cache": ["read", "write", "connectUser", "connectGroup"],
  "set-connect-user-id": ["connectUser", "userPool"],
  "recording-task-state": REPAIRER,
  "recording-sweeper": REPAIRER,
  // Its task shows a page that others have made, so it may not read what others have recorded.
  recorder: ["record"],
} as const satisfies Record<string, readonly Right[]>;

export type Holder = keyof typeof RIGHTS;

/** The statements of a policy that gives somebody their rights. */
export function statements(stack: Stack, holder: Holder, things: Things): PolicyStatement[] {
  return RIGHTS[holder].flatMap((right) => statementsOf(stack, right, things));
}

function statementsOf(stack: Stack, right: Right, things: Things): PolicyStatement[] {
  const region = things.clusterRegion;
  const ecs = (resource: string, resourceName: string): string =>
    Arn.format(
      {
        service: "ecs",
        resource,
        resourceName,
        ...(region !== undefined && { region }),
        arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
      },
      stack,
    );
  const inCluster = { ArnEquals: { "ecs:cluster": ecs("cluster", CLUSTER) } };
  const tasks = [ecs("task", `${CLUSTER}/*`)];
  const table = [things.tableArn];
  const users = (): string[] => {
    const instance = need(things, "connectInstanceArn");
    return [`${instance}/user/*`, `${instance}/agent/*`];
  };
  switch (right) {
    case "read":
      return [allow(["dynamodb:GetItem", "dynamodb:Query"], table)];
    case "write":
      return [
        allow(
          [
            "dynamodb:ConditionCheckItem",
            "dynamodb:DeleteItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
          ],
          table,
        ),
      ];
    case "runTask":
      return [allow(["ecs:RunTask"], [need(things, "taskDefinitionArn")], inCluster)];
    case "startTask":
      return [allow(["ecs:StartTask"], [need(things, "taskDefinitionArn")], inCluster)];
    case "passRoles": {
      const toTasks = { StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" } };
      return [allow(["iam:PassRole"], [...need(things, "taskRoleArns")], toTasks)];
    }
    case "findTasks":
      return [
        // Tasks are listed as a right on container instances, of which there are any.
        allow(["ecs:ListTasks"], ["*"], inCluster),
        allow(["ecs:DescribeTasks"], tasks),
      ];
    case "stopTask":
      return [allow(["ecs:StopTask"], tasks)];
    case "invite":
      return [allow(["chime:CreateAttendee"], ["*"])];
    case "remove":
      return [allow(["chime:DeleteAttendee"], ["*"])];
    case "connectUser":
      return [allow(["connect:DescribeUser"], users())];
    case "connectGroup":
      return [
        allow(
          ["connect:DescribeUserHierarchyGroup"],
          [`${need(things, "connectInstanceArn")}/agent-group/*`],
        ),
      ];
    case "connectContact":
      return [
        allow(
          ["connect:UpdateContactAttributes"],
          [`${need(things, "connectInstanceArn")}/contact/*`],
        ),
      ];
    case "userPool":
      return [allow(["cognito-idp:AdminUpdateUserAttributes"], [need(things, "userPoolArn")])];
    case "play":
      return [
        allow(["s3:GetObject"], [recordings(things)]),
        ...withKey(["kms:Decrypt"], things),
      ];
    case "record":
      return [
        allow(["s3:AbortMultipartUpload", "s3:PutObject"], [recordings(things)]),
        // S3 decrypts the parts of an upload to make one object of them.
        ...withKey(["kms:Decrypt", "kms:GenerateDataKey"], things),
      ];
    case "repair":
      return [
        allow(
          [
            "s3:AbortMultipartUpload",
            "s3:GetObject",
            "s3:ListMultipartUploadParts",
            "s3:PutObject",
          ],
          [recordings(things)],
        ),
        ...withKey(["kms:Decrypt", "kms:GenerateDataKey"], things),
      ];
    case "list":
      return [
        allow(
          // Who may not list is not told that an object is not there, but that it is forbidden.
          ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
          [`arn:${stack.partition}:s3:::${need(things, "bucketName")}`],
        ),
      ];
  }

  function recordings(of: Things): string {
    return `arn:${stack.partition}:s3:::${need(of, "bucketName")}/${RECORDINGS_PREFIX}*`;
  }
}

/** The key that AWS manages asks for no right of its own within the account. */
function withKey(actions: string[], { bucketKeyArn }: Things): PolicyStatement[] {
  return bucketKeyArn === undefined ? [] : [allow(actions, [bucketKeyArn])];
}

export function allow(
  actions: string[],
  resources: string[],
  conditions?: Record<string, Record<string, string>>,
): PolicyStatement {
  return new PolicyStatement({
    effect: Effect.ALLOW,
    actions,
    resources,
    ...(conditions !== undefined && { conditions }),
  });
}

function need<Key extends keyof Things>(things: Things, key: Key): NonNullable<Things[Key]> {
  const thing = things[key];
  if (thing === undefined) throw new Error(`a right is about ${key}, which is not there`);
  return thing as NonNullable<Things[Key]>;
}
