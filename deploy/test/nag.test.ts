/**
 * The rules of cdk-nag's AwsSolutions, and for each finding that stays the reason.
 * A finding without a reason fails, and so does a reason without a finding.
 */
import { AwsSolutionsChecks } from "cdk-nag";
import { describe, expect, test } from "vitest";
import { backendStacks } from "../lib/backend-stage";
import type { Settings } from "../lib/settings";
import { app, ENV, exampleSettings } from "./support/product";

interface Acknowledged {
  readonly rule: RegExp;
  /** At the end of the path of the construct. */
  readonly where: RegExp;
  readonly reason: string;
}

const ACKNOWLEDGED: readonly Acknowledged[] = [
  {
    rule: /^AwsSolutions-COG2$/,
    where: /UserPool$/,
    reason: "It is offered and not required: agents who sign in with SAML have it there",
  },
  {
    rule: /^AwsSolutions-COG8$/,
    where: /UserPool$/,
    reason: "The plus plan is paid for each user, which is for the owner of a contact center to decide",
  },
  {
    rule: /^AwsSolutions-ECS2$/,
    where: /recordingTaskDefinition$/,
    reason: "The only variable is AWS_REGION",
  },
  {
    rule: /^AwsSolutions-VPC7$/,
    where: /recordingVPC$/,
    reason: "Nothing can come in, and what goes out is media and S3: its log costs more than it tells",
  },
  {
    rule: /^AwsSolutions-AS3$/,
    where: /Fleet\/Group\/ASG$/,
    reason: "ECS scales it with every call; that it cannot is an alarm",
  },
  {
    rule: /^AwsSolutions-SQS3$/,
    where: /LostEvents$/,
    reason: "It is the queue of lost events itself, of a Lambda and of a rule",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::<\w+Log\w+\.Arn>:\*\]$/,
    where: /Role\/DefaultPolicy$/,
    reason: "The streams of the Lambda's own log; Lambda gives them their names",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::arn:aws:s3:::[\w-]+\/RECORDINGS\/\*\]$/,
    where: /(TaskRole|(TaskState|Sweeper|Summary)Lambda\/Role)\/DefaultPolicy$/,
    reason: "Recordings, whose names are made at their start",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::arn:aws:ecs:[\w:-]+:task\/VideoCallEscalation-Recording\/\*\]$/,
    where: /Lambda\/Role\/DefaultPolicy$/,
    reason: "Tasks of the one cluster, whose names ECS makes",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::arn:aws:connect:[\w:-]+\/[\w-]+\/(user|agent|agent-group|contact)\/\*\]$/,
    where: /(StartRecording|SetConnectUserId|PutConnectUserCache)Lambda\/Role\/DefaultPolicy$/,
    reason: "Users, groups and contacts of the one instance",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::\*\]$/,
    where: /Lambda\/Role\/DefaultPolicy$/,
    reason: "chime:*Attendee knows no resources; ecs:ListTasks is limited to the cluster by a condition",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::\*\]$/,
    where: /(ExecutionRole|Fleet\/Role)\/DefaultPolicy$/,
    reason: "ecr:GetAuthorizationToken and ecs:DiscoverPollEndpoint know no resources; the others are limited to the cluster",
  },
];

/** What the rules find, as `rule at path`. */
function findings(settings: Settings): { readonly rule: string; readonly path: string }[] {
  const made = app();
  backendStacks(made, settings, ENV);
  const { violations } = new AwsSolutionsChecks(made).validateScope(made);
  return violations.flatMap(({ ruleName, violatingResources }) =>
    violatingResources.map((construct) => ({
      rule: ruleName,
      path: (construct.constructPath ?? "").replace(/\/Resource$/, ""),
    })),
  );
}

test.each([
  ["on instances", exampleSettings()],
  ["on Fargate", exampleSettings({ launchType: "FARGATE" })],
  ["with retention and mail", exampleSettings({ retentionDays: 90, alarmEmail: "a@example.com" })],
])("%s, every finding has a reason to stay", (_, settings) => {
  const found = findings(settings);
  expect(found.length).toBeGreaterThan(0);
  const left = found.filter(
    ({ rule, path }) =>
      !ACKNOWLEDGED.some((known) => known.rule.test(rule) && known.where.test(path)),
  );
  expect(left).toEqual([]);
});

describe("the reason is still needed for", () => {
  const found = findings(exampleSettings());

  test.each(ACKNOWLEDGED)("$rule at $where", ({ rule, where, reason }) => {
    const matching = found.filter((one) => rule.test(one.rule) && where.test(one.path));
    expect(matching, reason).not.toEqual([]);
  });
});
