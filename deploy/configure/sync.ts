/**
 * `npm run sync-config`: brings the configuration that a deployed agents' application
 * has to a copy of the application on this machine. It must not know what is in it.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CloudFormationClient, DescribeStacksCommand } from "@aws-sdk/client-cloudformation";
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { GetParameterCommand, ParameterNotFound, SSMClient } from "@aws-sdk/client-ssm";

import params from "../config.params.json" with { type: "json" };

const NAME = "frontend-config.js";

const USAGE = "Name the folders to bring it to: npm run sync-config -- FOLDER ...";

async function sync(folders: readonly string[]): Promise<void> {
  if (folders.length === 0) throw new Error(USAGE);
  const stack = await frontendStack();
  if (stack === undefined) {
    console.log(
      "There is no web bucket: no frontend is deployed in this account and region.\n" +
        "A recorder that stands alone has none, so there is nothing to bring.",
    );
    return;
  }
  const bucket = await webBucket(stack);
  const key = `${params.WebAppRootPrefix}${NAME}`;
  const object = await new S3Client().send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  const text = await object.Body?.transformToString();
  if (text === undefined) throw new Error(`s3://${bucket}/${key} is empty`);
  for (const folder of folders) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, NAME), text);
    console.log(`Written to ${join(folder, NAME)}`);
  }
}

async function frontendStack(): Promise<string | undefined> {
  const name = `${params.hierarchy}outputParameters/CdkFrontendStackName`;
  try {
    const answer = await new SSMClient().send(new GetParameterCommand({ Name: name }));
    return answer.Parameter?.Value;
  } catch (error) {
    if (error instanceof ParameterNotFound) return undefined;
    throw error;
  }
}

async function webBucket(stack: string): Promise<string> {
  const answer = await new CloudFormationClient().send(
    new DescribeStacksCommand({ StackName: stack }),
  );
  const outputs = answer.Stacks?.[0]?.Outputs ?? [];
  const bucket = outputs.find(({ OutputKey }) => OutputKey === "webAppBucket")?.OutputValue;
  if (bucket === undefined) throw new Error(`The stack ${stack} has no output webAppBucket`);
  return bucket;
}

try {
  await sync(process.argv.slice(2));
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  console.error(message);
  if (message !== USAGE) {
    console.error("Check region and credentials with: aws sts get-caller-identity");
  }
  process.exitCode = 1;
}
