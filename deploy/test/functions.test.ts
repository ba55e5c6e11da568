/**
 * The Lambdas as the tests of the whole product know them (tests/local-cloud):
 * variables, time, routes, headers. What is deployed has to be what was tested.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { at, isObject, list } from "./support/assembly";
import { repository, synthesised } from "./support/product";

const product = synthesised();
const sources = join(repository, "tests/local-cloud/src");
const functions = readFileSync(join(sources, "functions.rs"), "utf8");
const setup = readFileSync(join(sources, "setup.rs"), "utf8");
const policies = readFileSync(join(sources, "policies.rs"), "utf8");

/** Where the function of an artefact is. */
const PLACES: Record<string, string> = {
  "start-recording": "RecordingAPI/StartRecordingLambda",
  "stop-recording": "RecordingAPI/StopRecordingLambda",
  "stop-recording-event": "stopRecordingEventTargetLambda",
  "recording-summary": "RecordingAPI/GetRecordingSummaryLambda",
  "start-pre-warm": "Recording/startRecordingPreWarmTaskLambda",
  "put-connect-user-cache": "RecordingAPI/PutConnectUserCacheLambda",
  "set-connect-user-id": "RecordingAPI/SetConnectUserIdLambda",
  "recording-task-state": "Recording/recordingTaskStateLambda",
  "recording-sweeper": "Recording/recordingSweeperLambda",
};

/** What a deployment gives beside what the tests need. */
const BESIDE: Record<string, readonly string[]> = {
  // Where there is one provider of capacity, it is named.
  "start-recording": ["ECS_CAPACITY_PROVIDER"],
};

/** All texts in quotes. */
function texts(source: string): string[] {
  return [...source.matchAll(/"([^"]*)"/g)].map(([, text]) => text ?? "");
}

function between(source: string, start: string, end: string): string {
  const [, after] = source.split(start);
  const [found] = after?.split(end) ?? [];
  if (found === undefined) throw new Error(`there is no ${start}`);
  return found;
}

/** Name, seconds and variables of each function. */
const tested = [
  ...between(functions, "FUNCTIONS: [Function; 9] = [", "\n];").matchAll(
    /usual\(([^;]*?)\),\n|Function \{([^}]*)\}/g,
  ),
].map(([all]) => {
  const [name = "", ...variables] = texts(all);
  return { name, variables, seconds: all.includes("LONGEST_SECONDS") ? 900 : 20 };
});

test("the tests know nine functions, and so does the deployment", () => {
  expect(tested.map(({ name }) => name).sort()).toEqual(Object.keys(PLACES).sort());
  expect(product.all("AWS::Lambda::Function")).toHaveLength(9);
});

describe.each(tested)("$name", ({ name, variables, seconds }) => {
  const { properties } = product.one("AWS::Lambda::Function", `${PLACES[name]}/Function`);

  test("has the variables with which it was tested", () => {
    const given = at(properties, "Environment", "Variables");
    const names = Object.keys(isObject(given) ? given : {});
    expect(names.sort()).toEqual([...variables, ...(BESIDE[name] ?? [])].sort());
    for (const value of Object.values(isObject(given) ? given : {})) {
      expect(value).not.toBe("");
    }
  });

  test("is a binary for Amazon Linux 2023 with the time and memory it was tested with", () => {
    expect(properties).toMatchObject({
      Runtime: "provided.al2023",
      Handler: "bootstrap",
      Architectures: ["x86_64"],
      MemorySize: 256,
      Timeout: seconds,
    });
  });
});

test("the functions that others may know have the names of the original", () => {
  const names = product.all("AWS::Lambda::Function").map(({ properties }) => properties["FunctionName"]);
  expect(names.filter((name) => name !== undefined).sort()).toEqual([
    "VideoCallEscalation-GetRecordingSummaryLambda",
    "VideoCallEscalation-RecordingSweeperLambda",
    "VideoCallEscalation-RecordingTaskStateLambda",
    "VideoCallEscalation-StartRecordingLambda",
    "VideoCallEscalation-StartRecordingPreWarmTaskLambda",
    "VideoCallEscalation-StopRecordingEventTargetLambda",
    "VideoCallEscalation-StopRecordingLambda",
  ]);
});

test("the API has the routes that were tested, and what is behind them", () => {
  const expected = [
    ...between(policies, "ROUTES: [(&str, &str, &str); 5] = [", "];").matchAll(
      /\("(\w+)", "([^"]+)", "([^"]+)"\)/g,
    ),
  ].map(([, method, path, name]) => `${method} ${path} to {${PLACES[name ?? ""]}/Function.Arn}`);
  const integrations = product.all("AWS::ApiGatewayV2::Integration");
  const routes = product.all("AWS::ApiGatewayV2::Route").map(({ properties }) => {
    const target = String(properties["Target"]).replace("integrations/", "");
    const integration = integrations.find(({ path }) => `{${path}}` === target);
    expect(integration?.properties).toMatchObject({
      IntegrationType: "AWS_PROXY",
      PayloadFormatVersion: "2.0",
    });
    return `${properties["RouteKey"]} to ${integration?.properties["IntegrationUri"]}`;
  });
  expect(expected).toHaveLength(5);
  expect(routes.sort()).toEqual(expected.sort());
});

test("pages may send the headers that were tested, from the origins of the parameter", () => {
  const { properties } = product.one("AWS::ApiGatewayV2::Api");
  expect(properties["Name"]).toBe("VideoCallEscalation-RecordingAPI");
  const headers = texts(between(setup, "ALLOWED_HEADERS: [&str; 8] = [", "];"));
  const methods = texts(between(setup, '"allowMethods": [', "]"));
  const cors = properties["CorsConfiguration"] ?? null;
  expect(list(at(cors, "AllowHeaders")).map(String).sort()).toEqual(headers.sort());
  expect(list(at(cors, "AllowMethods")).map(String).sort()).toEqual(methods.sort());
  expect(at(cors, "AllowOrigins")).toEqual(["https://agents.example.com"]);
});
