/** Drives the program of `npm run configure`; what is stored is stored in ministack. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  DescribeParametersCommand,
  GetParameterCommand,
  ParameterNotFound,
  SSMClient,
} from "@aws-sdk/client-ssm";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { parameters } from "../configure/parameters";
import { startMinistack, type Ministack } from "./ministack";
import { run, type Said } from "./program";

const ID = "01234567-89ab-4cde-8f01-23456789abcd";
const ARN = `arn:aws:connect:us-east-1:111122223333:instance/${ID}`;

const NEEDED = [
  `--connect-instance-arn=${ARN}`,
  "--connect-instance-url=https://example.my.connect.aws",
  `--connect-default-contact-flow-id=${ID}`,
  "--cognito-domain-prefix=example",
];

let folder: string;
let cache: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "configure-"));
  cache = join(folder, "cache.json");
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function configure(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  input = "",
): Promise<Said> {
  return run("configure/main.ts", [`--cache=${cache}`, ...args], environment, input);
}

function cached(): Record<string, string> {
  const values: Record<string, string> = JSON.parse(readFileSync(cache, "utf8"));
  return values;
}

/** A Parameter Store that nobody answers for. */
const UNREACHABLE = { AWS_REGION: "us-east-1", AWS_ENDPOINT_URL: "http://127.0.0.1:9" };

describe("in test mode", () => {
  test("all parameters are in the file, by path", async () => {
    const { code, err } = await configure(["-t", ...NEEDED], UNREACHABLE);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(Object.keys(cached())).toEqual(
      parameters.map(({ name }) => `/VideoCallEscalation/${name}`),
    );
    expect(cached()).toMatchObject({
      "/VideoCallEscalation/connectInstanceARN": ARN,
      "/VideoCallEscalation/agentAPIAllowedOrigins": "*",
      "/VideoCallEscalation/deployRecordingStack": "false",
      "/VideoCallEscalation/websiteAdHocRouteBaseURL": "not-defined",
    });
  });

  test("a parameter can be given by its name, too", async () => {
    const { code } = await configure([
      "-t",
      ...NEEDED,
      "--deployRecordingStack=true",
      `--recordingPlaybackSecurityProfileId=${ID}`,
      "--recordingPresignedURLExpiresMinutes=30",
      "--recording-attendee-name=BOT",
    ]);
    expect(code).toBe(0);
    expect(cached()).toMatchObject({
      "/VideoCallEscalation/recordingPresignedURLExpiresMinutes": "30",
      "/VideoCallEscalation/recordingAttendeeName": "BOT",
    });
  });

  test("what is in the file can be loaded, and changed in one place", async () => {
    await configure(["-t", ...NEEDED]);
    const { code, out } = await configure(["-ltv", "--cognito-domain-prefix=other"]);
    expect(code).toBe(0);
    expect(out).toContain(`Loaded ${parameters.length} values`);
    expect(cached()).toMatchObject({
      "/VideoCallEscalation/cognitoDomainPrefix": "other",
      "/VideoCallEscalation/connectInstanceARN": ARN,
    });
  });

  test("deleting removes the file", async () => {
    await configure(["-t", ...NEEDED]);
    const { code } = await configure(["-td"], UNREACHABLE);
    expect(code).toBe(0);
    expect(existsSync(cache)).toBe(false);
  });
});

describe("bad input", () => {
  test("that is missing is named, and nothing is written", async () => {
    const { code, err } = await configure(["-t", ...NEEDED.slice(1)]);
    expect(code).toBe(1);
    expect(err.trim()).toBe("Required parameter not provided: [connect-instance-arn]");
    expect(existsSync(cache)).toBe(false);
  });

  test("that is missing for a parent is named", async () => {
    const { code, err } = await configure(["-t", ...NEEDED, "--deploy-recording-stack=true"]);
    expect(code).toBe(1);
    expect(err).toContain(
      "Required parameter not provided: [recording-playback-security-profile-id]",
    );
  });

  test("that is wrong is named with its mend", async () => {
    const args = ["-t", ...NEEDED, "--agent-api-allowed-origins=https://a.example.com/"];
    const { code, err } = await configure(args);
    expect(code).toBe(1);
    expect(err).toContain('agentAPIAllowedOrigins is "https://a.example.com/"');
    expect(err).toContain("without a path or a / at the end");
    expect(existsSync(cache)).toBe(false);
  });

  test("that is no parameter is named", async () => {
    const { code, err } = await configure(["-t", "--connect-instance-arm=x"]);
    expect(code).toBe(1);
    expect(err).toContain("--connect-instance-arm");
  });

  test("in the file is named with the file", async () => {
    writeFileSync(cache, "{ not JSON");
    const { code, err } = await configure(["-lt", ...NEEDED]);
    expect(code).toBe(1);
    expect(err).toContain(`${cache} is not JSON`);
  });
});

describe("interactively", () => {
  test("a wrong answer is asked again, and children only of a parent that is true", async () => {
    const answers = [
      "my-instance",
      ARN,
      "https://example.my.connect.aws",
      ID,
      "example",
      "https://agents.example.com",
      "",
      "",
      "", // no SAML
      "", // no pipeline
      "true",
      "", // the profile is needed
      ID,
      "BOT",
      ...Array<string>(parameters.length).fill(""),
    ];
    const { code, out, err } = await configure(["-it"], {}, `${answers.join("\n")}\n`);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain('connectInstanceARN is "my-instance"');
    expect(out).toContain("This one is needed.");
    expect(out).not.toContain("cdk-pipeline-stage-name");
    expect(out).not.toContain("cognito-saml-callback-urls");
    expect(out).toContain("recording-launch-type [EC2]: ");
    expect(cached()).toMatchObject({
      "/VideoCallEscalation/connectInstanceARN": ARN,
      "/VideoCallEscalation/agentAPIAllowedOrigins": "https://agents.example.com",
      "/VideoCallEscalation/recordingAttendeeName": "BOT",
      "/VideoCallEscalation/recordingTaskCpu": "2048",
    });
  });

  test("Enter keeps what is loaded, and not-defined removes it", async () => {
    const url = "--website-ad-hoc-route-base-url=https://www.example.com/call";
    await configure(["-t", ...NEEDED, "--agent-api-allowed-origins=https://a.example.com", url]);
    const answers = ["", "", "", "", "not-defined", "", "not-defined", "", "", ""];
    const { code, out } = await configure(["-ilt"], {}, `${answers.join("\n")}\n`);
    expect(code).toBe(0);
    expect(out).toContain("cognito-domain-prefix [example]: ");
    expect(cached()).toMatchObject({
      "/VideoCallEscalation/connectInstanceARN": ARN,
      "/VideoCallEscalation/agentAPIAllowedOrigins": "*",
      "/VideoCallEscalation/websiteAdHocRouteBaseURL": "not-defined",
    });
  });

  test("an input that ends early stores nothing", async () => {
    const { code, err } = await configure(["-it"], {}, `${ARN}\n`);
    expect(code).toBe(1);
    expect(err).toContain("The input ended before an answer for connect-instance-url");
    expect(existsSync(cache)).toBe(false);
  });
});

test("help tells of every parameter", async () => {
  const { code, out } = await configure(["-h"]);
  expect(code).toBe(0);
  for (const { cliFormat } of parameters) expect(out).toContain(`--${cliFormat} `);
});

test("without credentials it says what to do", async () => {
  const { code, err } = await configure(NEEDED, { AWS_REGION: "us-east-1" });
  expect(code).toBe(1);
  expect(err).toContain("aws sts get-caller-identity");
  expect(err).toContain("npm run configure:test");
});

describe("in Parameter Store", () => {
  let ministack: Ministack;
  let client: SSMClient;

  beforeAll(async () => {
    ministack = await startMinistack();
    client = new SSMClient({
      endpoint: ministack.environment["AWS_ENDPOINT_URL"] ?? "",
      region: "us-east-1",
      credentials: { accessKeyId: "test", secretAccessKey: "test-secret-key" },
    });
    return async () => {
      client.destroy();
      await ministack.stop();
    };
  }, 90_000);

  const stored = async (name: string) => {
    const command = new GetParameterCommand({ Name: `/VideoCallEscalation/${name}` });
    return (await client.send(command)).Parameter;
  };

  test("all are stored, read by the stacks, overwritten and deleted", async () => {
    const first = await configure(NEEDED, ministack.environment);
    expect({ code: first.code, err: first.err }).toEqual({ code: 0, err: "" });
    expect(await stored("connectInstanceARN")).toMatchObject({ Type: "String", Value: ARN });
    expect(await stored("recordingAlarmEmail")).toMatchObject({ Value: "not-defined" });
    expect(first.out + first.err).not.toContain("test-secret-key");

    // What is stored is loaded, without the file.
    rmSync(cache);
    const second = await configure(
      ["-lv", "--cdk-pipeline-enabled=false", "--cognito-domain-prefix=other"],
      ministack.environment,
    );
    expect({ code: second.code, err: second.err }).toEqual({ code: 0, err: "" });
    expect(second.out).toContain("Loaded");
    expect(await stored("connectInstanceARN")).toMatchObject({ Value: ARN, Version: 2 });
    expect(await stored("cognitoDomainPrefix")).toMatchObject({ Value: "other" });

    const reader = "test/print-stored.ts";
    const read = await run(reader, [], {
      ...ministack.environment,
      CDK_DEFAULT_REGION: "us-east-1",
    });
    expect(JSON.parse(read.out)).toEqual(
      Object.fromEntries(
        Object.entries(cached()).map(([path, value]) => [
          path.slice("/VideoCallEscalation/".length),
          value,
        ]),
      ),
    );

    const third = await configure(["-d"], ministack.environment);
    expect(third.code).toBe(0);
    expect(third.out).toContain(`Deleted ${parameters.length} parameters`);
    expect(existsSync(cache)).toBe(false);
    await expect(stored("connectInstanceARN")).rejects.toBeInstanceOf(ParameterNotFound);
    const left = await client.send(new DescribeParametersCommand({}));
    expect(left.Parameters).toEqual([]);

    const nothing = await run(reader, [], ministack.environment);
    expect(nothing.out.trim()).toBe("undefined");
  });
});

test("the stacks find nothing stored where there are no credentials", async () => {
  const { code, out, err } = await run("test/print-stored.ts", [], { AWS_REGION: "us-east-1" });
  expect({ code, out: out.trim(), err }).toEqual({ code: 0, out: "undefined", err: "" });
});
