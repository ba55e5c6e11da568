import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { NOT_DEFINED, parameters } from "../configure/parameters";
import { settingsFrom } from "../lib/settings";

const ID = "01234567-89ab-4cde-8f01-23456789abcd";

const NEEDED = {
  connectInstanceARN: `arn:aws:connect:us-east-1:111122223333:instance/${ID}`,
  connectInstanceURL: "https://example.my.connect.aws",
  connectDefaultContactFlowId: ID,
  cognitoDomainPrefix: "example",
};
const RECORDING = { deployRecordingStack: "true", recordingPlaybackSecurityProfileId: ID };
const PIPELINE = {
  cdkPipelineEnabled: "true",
  cdkPipelineRepositoryName: "VideoCallEscalation",
  cdkPipelineRepositoryBranchName: "main",
  cdkPipelineStageName: "Prod",
};
const SAML = {
  cognitoSAMLEnabled: "true",
  ccpLoginLambdaRoleToAssume: "arn:aws:iam::111122223333:role/Login",
  cognitoSAMLIdentityProviderURL: "https://idp.example.com/metadata",
  cognitoSAMLIdentityProviderName: "Example",
  cognitoSAMLCallbackUrls: "https://agents.example.com, https://localhost:3000",
  cognitoSAMLLogoutUrls: "https://agents.example.com",
};
const CONNECTION = `arn:aws:codeconnections:us-east-1:111122223333:connection/${ID}`;
const POOL = {
  existingUserPoolId: "us-east-1_AbCdEfGhI",
  existingUserPoolClientId: "client1",
  existingAuthenticatedRoleArn: "arn:aws:iam::111122223333:role/Agents",
};

describe("what is not given", () => {
  test("leaves the defaults of the original, and no recording", () => {
    expect(settingsFrom(NEEDED)).toEqual({
      connectInstanceArn: NEEDED.connectInstanceARN,
      connectInstanceUrl: NEEDED.connectInstanceURL,
      connectDefaultContactFlowId: ID,
      cognitoDomainPrefix: "example",
      agentApiAllowedOrigins: ["*"],
      websiteApiAllowedOrigins: ["*"],
    });
  });

  test("leaves a recording with our defaults", () => {
    expect(settingsFrom({ ...NEEDED, ...RECORDING }).recording).toEqual({
      playbackSecurityProfileId: ID,
      attendeeName: "RECORDING",
      presignedUrlExpiresMinutes: 15,
      launchType: "EC2",
      instanceType: "c5.2xlarge",
      minInstances: 1,
      maxInstances: 5,
      taskCpu: 2048,
      taskMemoryMiB: 4096,
      retentionDays: 0,
      existing: {},
    });
  });

  test("is what Parameter Store calls not-defined, too", () => {
    const stored = parameters.map(({ name }) => [`/VideoCallEscalation/${name}`, NOT_DEFINED]);
    const given = Object.entries(NEEDED).map(([name, value]) => [
      `/VideoCallEscalation/${name}`,
      value,
    ]);
    const values: Record<string, string> = Object.fromEntries([...stored, ...given]);
    expect(settingsFrom(values)).toEqual(settingsFrom(NEEDED));
  });
});

describe("what is given", () => {
  test("of everything is there", () => {
    const settings = settingsFrom({
      ...NEEDED,
      ...SAML,
      ...PIPELINE,
      ...RECORDING,
      ...POOL,
      agentAPIAllowedOrigins: "https://agents.example.com, http://localhost:8080",
      websiteAdHocRouteBaseURL: "https://www.example.com/call",
      cdkPipelineSource: "codeconnections",
      cdkPipelineConnectionArn: CONNECTION,
      cdkPipelineRepositoryName: "owner/name",
      cdkPipelineCreateNewRepository: "false",
      recordingLaunchType: "FARGATE",
      recordingTaskCpu: "4096",
      recordingTaskMemory: "8192",
      recordingAlarmEmail: "ops@example.com",
      existingTableName: "VideoCallEscalationDB",
      existingBucketName: "my-recordings",
      existingKmsKeyArn: `arn:aws:kms:us-east-1:111122223333:key/${ID}`,
    });
    expect(settings.agentApiAllowedOrigins).toEqual([
      "https://agents.example.com",
      "http://localhost:8080",
    ]);
    expect(settings.websiteAdHocRouteBaseUrl).toBe("https://www.example.com/call");
    expect(settings.saml).toEqual({
      providerUrl: "https://idp.example.com/metadata",
      providerName: "Example",
      callbackUrls: ["https://agents.example.com", "https://localhost:3000"],
      logoutUrls: ["https://agents.example.com"],
      ccpLoginRole: "arn:aws:iam::111122223333:role/Login",
    });
    expect(settings.pipeline).toEqual({
      source: "codeconnections",
      repositoryName: "owner/name",
      branch: "main",
      createRepository: false,
      connectionArn: CONNECTION,
      stageName: "Prod",
    });
    expect(settings.recording).toMatchObject({
      launchType: "FARGATE",
      taskCpu: 4096,
      taskMemoryMiB: 8192,
      alarmEmail: "ops@example.com",
      existing: {
        tableName: "VideoCallEscalationDB",
        userPoolId: "us-east-1_AbCdEfGhI",
        userPoolClientId: "client1",
        authenticatedRoleArn: "arn:aws:iam::111122223333:role/Agents",
        bucketName: "my-recordings",
        kmsKeyArn: `arn:aws:kms:us-east-1:111122223333:key/${ID}`,
      },
    });
  });

  test("to a parent that is false does not count", () => {
    const settings = settingsFrom({ ...NEEDED, recordingRetentionDays: "many" });
    expect(settings.recording).toBeUndefined();
  });
});

/** Each is one wrong value in a set that is right otherwise, and what the message says. */
test.each<[values: Record<string, string>, ...says: string[]]>([
  [{ connectInstanceARN: "my-instance" }, 'connectInstanceARN is "my-instance"', "arn:aws:connect"],
  [{ connectInstanceURL: "example.my.connect.aws" }, "https://", "--connect-instance-url="],
  [{ connectDefaultContactFlowId: "flow" }, "connectDefaultContactFlowId", "the last part"],
  [{ cognitoDomainPrefix: "my-aws-calls" }, "without aws"],
  [{ agentAPIAllowedOrigins: "https://agents.example.com/" }, "without a path or a /"],
  [{ agentAPIAllowedOrigins: "*, https://agents.example.com" }, "agentAPIAllowedOrigins"],
  [{ websiteAPIAllowedOrigins: "www.example.com" }, "websiteAPIAllowedOrigins"],
  [{ deployRecordingStack: "yes" }, 'is "yes"', "true or false"],
  [{ ...SAML, cognitoSAMLCallbackUrls: "https://a.example.com,b" }, "cognitoSAMLCallbackUrls"],
  [{ ...SAML, ccpLoginLambdaRoleToAssume: "Login" }, "the ARN of a role"],
  [{ ...PIPELINE, cdkPipelineStageName: "1 st" }, "cdkPipelineStageName"],
  [{ ...PIPELINE, cdkPipelineSource: "github" }, "codecommit or codeconnections"],
  [
    { ...PIPELINE, cdkPipelineSource: "codeconnections" },
    "cdkPipelineConnectionArn has no value",
    'cdkPipelineRepositoryName is "VideoCallEscalation"',
    "owner/name",
  ],
  [{ ...RECORDING, recordingLaunchType: "ec2" }, "EC2 or FARGATE"],
  [{ ...RECORDING, recordingPresignedURLExpiresMinutes: "10081" }, "from 1 to 10080"],
  [{ ...RECORDING, recordingPresignedURLExpiresMinutes: "1.5" }, "a whole number"],
  [{ ...RECORDING, recordingMinInstances: "6" }, "not more than the 5 instances"],
  [{ ...RECORDING, recordingRetentionDays: "-1" }, "recordingRetentionDays"],
  [{ ...RECORDING, recordingAlarmEmail: "ops" }, "an e-mail address"],
  [{ ...RECORDING, existingBucketName: "arn:aws:s3:::bucket" }, "not its ARN"],
  [
    { ...RECORDING, existingUserPoolId: "us-east-1_AbCdEfGhI" },
    "existingUserPoolClientId has no value",
    "existingAuthenticatedRoleArn has no value",
  ],
  [{ ...RECORDING, recordingLaunchType: "FARGATE", recordingTaskCpu: "3000" }, "what Fargate has"],
  [
    { ...RECORDING, recordingLaunchType: "FARGATE", recordingTaskMemory: "4500" },
    "4096 to 16384 in steps of 1024",
  ],
])("%j is refused", (values, ...says) => {
  const settings = () => settingsFrom({ ...NEEDED, ...values });
  for (const word of says) expect(settings).toThrow(word);
});

test("all that is missing or wrong is said at once", () => {
  const settings = () =>
    settingsFrom({ ...RECORDING, recordingTaskCpu: "much", connectInstanceURL: "x" });
  for (const word of [
    "npm run configure",
    "Required parameter not provided: [connect-instance-arn]",
    "Required parameter not provided: [connect-default-contact-flow-id]",
    "Required parameter not provided: [cognito-domain-prefix]",
    'connectInstanceURL is "x"',
    'recordingTaskCpu is "much"',
  ]) {
    expect(settings).toThrow(word);
  }
});

describe("config.params.json", () => {
  test("has every parameter of the original, spelled as there", () => {
    const spelled = Object.fromEntries(parameters.map((one) => [one.name, one.cliFormat]));
    expect(spelled).toMatchObject({
      connectInstanceARN: "connect-instance-arn",
      connectInstanceURL: "connect-instance-url",
      connectDefaultContactFlowId: "connect-default-contact-flow-id",
      cognitoDomainPrefix: "cognito-domain-prefix",
      agentAPIAllowedOrigins: "agent-api-allowed-origins",
      websiteAPIAllowedOrigins: "website-api-allowed-origins",
      websiteAdHocRouteBaseURL: "website-ad-hoc-route-base-url",
      cognitoSAMLEnabled: "cognito-saml-enabled",
      ccpLoginLambdaRoleToAssume: "ccpLogin-lambda-role-to-assume",
      cognitoSAMLIdentityProviderURL: "cognito-saml-identity-provider-url",
      cognitoSAMLIdentityProviderName: "cognito-saml-identity-provider-name",
      cognitoSAMLCallbackUrls: "cognito-saml-callback-urls",
      cognitoSAMLLogoutUrls: "cognito-saml-logout-urls",
      cdkPipelineEnabled: "cdk-pipeline-enabled",
      cdkPipelineRepositoryName: "cdk-pipeline-repository-name",
      cdkPipelineRepositoryBranchName: "cdk-pipeline-repository-branch-name",
      cdkPipelineCreateNewRepository: "cdk-pipeline-create-new-repository",
      cdkPipelineStageName: "cdk-pipeline-stage-name",
      deployRecordingStack: "deploy-recording-stack",
      recordingPlaybackSecurityProfileId: "recording-playback-security-profile-id",
      recordingAttendeeName: "recording-attendee-name",
      recordingPresignedURLExpiresMinutes: "recording-presigned-url-expires-minutes",
    });
  });

  test("has parents that are booleans", () => {
    const booleans = parameters.filter((one) => one.boolean === true).map(({ name }) => name);
    for (const { parent } of parameters) {
      if (parent !== undefined) expect(booleans).toContain(parent);
    }
  });
});

test.each(parameters)("docs/deploy.md tells of $name", ({ name, cliFormat, defaultValue }) => {
  const manual = readFileSync(new URL("../../docs/deploy.md", import.meta.url), "utf8");
  const row = manual
    .split("\n")
    .find((line) => line.startsWith(`| \`${name}\` | \`${cliFormat}\` |`));
  expect(row).toBeDefined();
  if (defaultValue !== undefined) expect(row).toContain(`| \`${defaultValue}\``);
});

test("the example can be deployed, and says that it is one", () => {
  const file = new URL("../config.example.json", import.meta.url);
  const example: Record<string, string> = JSON.parse(readFileSync(file, "utf8"));
  expect(example["comment"]).toContain("npm run configure");
  const settings = settingsFrom(example);
  expect(settings.recording?.existing).toEqual({});
  expect(settings.pipeline).toBeUndefined();
  expect(settings.connectInstanceArn).toContain("111122223333");
});
