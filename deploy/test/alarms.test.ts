/** That whatever has to be told is told, to somebody, with what there is to do. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { SECTIONS } from "../lib/constructs/alarms";
import { at, list } from "./support/assembly";
import { exampleSettings, repository, synthesised } from "./support/product";

const product = synthesised(exampleSettings({ alarmEmail: "calls@example.com" }));
const alarms = product.all("AWS::CloudWatch::Alarm");
const page = readFileSync(join(repository, "docs/operations.md"), "utf8");
const headings = [...page.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading);

/** The sections that the alarms' descriptions name. */
const named = alarms.map(({ properties, path }) => {
  const said = String(properties["AlarmDescription"]);
  return { path, section: /docs\/operations\.md, "([^"]+)"$/.exec(said)?.[1] };
});

test.each(alarms.map(({ path }) => path))("%s names a section of docs/operations.md", (path) => {
  expect(headings).toContain(named.find((alarm) => alarm.path === path)?.section);
});

test("every section of an alarm has an alarm, and something to do in it", () => {
  expect(new Set(named.map(({ section }) => section))).toEqual(new Set(Object.values(SECTIONS)));
  for (const section of Object.values(SECTIONS)) {
    const [, after = ""] = page.split(`\n## ${section}\n`);
    const [text = ""] = after.split("\n## ");
    expect(text, section).toMatch(/\bDo\b|: the agent can start again|If it comes every day/);
    expect(text, section).toMatch(/Look|Find|Read|See/i);
  }
});

test("every alarm tells its topic, and that it is over; the address is subscribed", () => {
  for (const { path, properties } of alarms) {
    expect(list(properties["AlarmActions"] ?? null), path).toHaveLength(1);
    expect(properties["AlarmActions"], path).toEqual(properties["OKActions"]);
  }
  const told = alarms.map(({ properties }) => at(properties, "AlarmActions", 0));
  const topics = product.all("AWS::SNS::Subscription").map(({ properties }) => {
    expect(properties).toMatchObject({ Protocol: "email", Endpoint: "calls@example.com" });
    return properties["TopicArn"];
  });
  expect(new Set(told)).toEqual(new Set(topics));
  expect(topics).toHaveLength(2);
});

test("every topic takes what the account's own alarms tell", () => {
  const policies = product.all("AWS::SNS::TopicPolicy");
  expect(policies).toHaveLength(2);
  for (const { properties } of policies) {
    const [topic] = list(properties["Topics"] ?? null);
    const allowed = list(at(properties, "PolicyDocument", "Statement")).filter(
      (statement) => at(statement, "Effect") === "Allow",
    );
    expect(allowed).toHaveLength(1);
    expect(allowed[0]).toMatchObject({
      Action: "sns:Publish",
      Condition: { StringEquals: { "aws:SourceAccount": "111122223333" } },
      Principal: { Service: "cloudwatch.amazonaws.com" },
      Resource: topic,
    });
  }
});

describe("every Lambda is watched for", () => {
  const functions = product.all("AWS::Lambda::Function").map(({ path }) => path);

  test.each(["Errors", "Throttles"])("%s", (metric) => {
    const watched = alarms
      .filter(({ properties }) => properties["MetricName"] === metric)
      .map(({ properties }) => at(properties, "Dimensions", 0, "Value"));
    expect(watched.sort()).toEqual(functions.map((path) => `{${path}}`).sort());
  });

  test("lost events", () => {
    const queues = product.all("AWS::SQS::Queue").map(({ path }) => `{${path}.QueueName}`);
    const watched = alarms
      .filter(({ properties }) => properties["Namespace"] === "AWS/SQS")
      .map(({ properties }) => at(properties, "Dimensions", 0, "Value"));
    expect(watched.sort()).toEqual(queues.sort());
  });
});

/** What the product itself tells, by the names in its source. */
describe("the metrics are those that are told:", () => {
  const source = (file: string) => readFileSync(join(repository, file), "utf8");

  test.each([
    ["NotComplete", "api-lambdas/recording-task-state/src/handler.rs", '"NotComplete"'],
    ["NotComplete", "api-lambdas/recording-sweeper/src/handler.rs", '"NotComplete"'],
    ["OrphansRepaired", "api-lambdas/recording-sweeper/src/handler.rs", '"OrphansRepaired"'],
    ["RepairFailures", "api-lambdas/recording-sweeper/src/handler.rs", '"RepairFailures"'],
    ["OpenRecordings", "api-lambdas/recording-sweeper/src/handler.rs", '"OpenRecordings"'],
    ["Rejects", "api-lambdas/contract/src/lambda.rs", '"Rejects"'],
    ["no_capacity", "api-lambdas/start-recording/src/handler.rs", '"no_capacity"'],
    ["VideoCallEscalation/Recording", "api-lambdas/contract/src/metrics.rs", "NAMESPACE"],
  ])("%s", (name, file, words) => {
    expect(JSON.stringify(alarms)).toContain(name);
    expect(source(file)).toContain(words);
  });

  test("failures and upload errors are counted in the fields of the report", () => {
    const report = source("docs/report.md");
    const patterns = product.all("AWS::Logs::MetricFilter").map(({ properties }) => {
      expect(properties["LogGroupName"]).toBe("{Recording/Task/recordingLogGroup}");
      return String(properties["FilterPattern"]);
    });
    expect(patterns.sort()).toEqual([
      '{ $.version >= 1 && $.exit_code > 0 }',
      '{ $.version >= 1 && ($.blame = "destination" || $.media = "upload_open") }',
    ]);
    for (const field of patterns.flatMap((pattern) => pattern.match(/(?<=\$\.)\w+/g) ?? [])) {
      expect(report).toContain(`| \`${field}\` |`);
    }
  });

  test("that instances do not come is asked of the capacity provider", () => {
    const [alarm] = alarms.filter(({ path }) => path.endsWith("/NoCapacity"));
    expect(alarm?.properties).toMatchObject({
      Namespace: "AWS/ECS/ManagedScaling",
      MetricName: "CapacityProviderReservation",
      Threshold: 100,
    });
  });

  test("silence of the sweeper is told, and no other silence", () => {
    const breaching = alarms.filter(
      ({ properties }) => properties["TreatMissingData"] === "breaching",
    );
    expect(breaching.map(({ path }) => path)).toEqual(["Monitoring/Alarms/SweeperSilent"]);
  });
});

test("there is one dashboard", () => {
  const { properties } = product.one("AWS::CloudWatch::Dashboard");
  expect(properties["DashboardName"]).toBe("VideoCallEscalation-Recording");
});
