/** Drives the program of `npm run sync-config` against ministack. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CloudFormationClient, CreateStackCommand } from "@aws-sdk/client-cloudformation";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { PutParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import { beforeAll, describe, expect, test } from "vitest";

import { startMinistack, type Ministack } from "./ministack";
import { run } from "./program";

/** What the frontend stack of the whole solution leaves for this program. */
const TEMPLATE = JSON.stringify({
  Resources: { Topic: { Type: "AWS::SNS::Topic" } },
  Outputs: { webAppBucket: { Value: "web-bucket" } },
});

describe("sync-config", () => {
  let ministack: Ministack;
  let folder: string;

  beforeAll(async () => {
    ministack = await startMinistack();
    folder = mkdtempSync(join(tmpdir(), "sync-"));
    return async () => {
      await ministack.stop();
      rmSync(folder, { recursive: true, force: true });
    };
  });

  test("without a frontend says so", async () => {
    const { code, out } = await run("configure/sync.ts", [folder], ministack.environment);
    expect(code).toBe(0);
    expect(out).toContain("There is no web bucket");
  });

  test("brings the file of the deployed frontend to each folder", async () => {
    const client = {
      endpoint: ministack.environment["AWS_ENDPOINT_URL"] ?? "",
      region: "us-east-1",
      credentials: { accessKeyId: "test", secretAccessKey: "test-secret-key" },
    };
    const s3 = new S3Client({ ...client, forcePathStyle: true });
    await s3.send(new CreateBucketCommand({ Bucket: "web-bucket" }));
    const Key = "WebAppRoot/frontend-config.js";
    await s3.send(new PutObjectCommand({ Bucket: "web-bucket", Key, Body: "window.vceConfig={}" }));
    const stacks = new CloudFormationClient(client);
    await stacks.send(new CreateStackCommand({ StackName: "Front", TemplateBody: TEMPLATE }));
    const Name = "/VideoCallEscalation/outputParameters/CdkFrontendStackName";
    await new SSMClient(client).send(
      new PutParameterCommand({ Name, Value: "Front", Type: "String" }),
    );

    const folders = [join(folder, "agent-app"), join(folder, "demo-website")];
    const { code, err } = await run("configure/sync.ts", folders, ministack.environment);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    for (const one of folders) {
      expect(readFileSync(join(one, "frontend-config.js"), "utf8")).toBe("window.vceConfig={}");
    }
  });
});

test("without credentials it says what to check", async () => {
  const { code, err } = await run("configure/sync.ts", ["."], { AWS_REGION: "us-east-1" });
  expect(code).toBe(1);
  expect(err).toContain("aws sts get-caller-identity");
});

test("without a folder it asks for one", async () => {
  const { code, err } = await run("configure/sync.ts", []);
  expect(code).toBe(1);
  expect(err.trim()).toBe("Name the folders to bring it to: npm run sync-config -- FOLDER ...");
});
