/** What would hurt if it were otherwise: recordings lost, seen by others, or not paid for. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import worker from "../lib/worker.json";
import { at, isObject, list, type Assembly, type Json } from "./support/assembly";
import { exampleSettings, repository, synthesised } from "./support/product";

const product = synthesised();
const fargate = synthesised(exampleSettings({ launchType: "FARGATE" }));

function container(of: Assembly): Json {
  return at(of.one("AWS::ECS::TaskDefinition").properties, "ContainerDefinitions", 0);
}

/** What the Lambda that starts recordings is told. */
function startVariables(of: Assembly): Json {
  const { properties } = of.one("AWS::Lambda::Function", "StartRecordingLambda/Function");
  return at(properties, "Environment", "Variables");
}

describe("recordings", () => {
  const bucket = product.one("AWS::S3::Bucket", "recordingBucket/Bucket");
  const policy = product.one("AWS::S3::BucketPolicy", "recordingBucket/Bucket/Policy");

  test("outlive the stack, and a failed creation leaves nothing in the way", () => {
    for (const { attributes, path } of [
      ...product.all("AWS::S3::Bucket"),
      ...product.all("AWS::DynamoDB::Table"),
      ...product.all("AWS::Cognito::UserPool"),
    ]) {
      expect(attributes["DeletionPolicy"], path).toBe("RetainExceptOnCreate");
      expect(attributes["UpdateReplacePolicy"], path).toBe("Retain");
    }
  });

  test("are encrypted with a KMS key", () => {
    const rule = at(bucket.properties, "BucketEncryption", "ServerSideEncryptionConfiguration", 0);
    expect(rule).toEqual({
      BucketKeyEnabled: true,
      ServerSideEncryptionByDefault: { SSEAlgorithm: "aws:kms" },
    });
  });

  test("can be encrypted with a key of one's own", () => {
    const kmsKeyArn = "arn:aws:kms:eu-central-1:111122223333:key/own";
    const own = synthesised(exampleSettings({ existing: { kmsKeyArn } }));
    const { properties } = own.one("AWS::S3::Bucket", "recordingBucket/Bucket");
    const rule = at(properties, "BucketEncryption", "ServerSideEncryptionConfiguration", 0);
    expect(at(rule, "ServerSideEncryptionByDefault", "KMSMasterKeyID")).toBe(kmsKeyArn);
  });

  test("are never public", () => {
    for (const { properties, path } of product.all("AWS::S3::Bucket")) {
      expect(at(properties, "PublicAccessBlockConfiguration"), path).toEqual({
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      });
    }
    const allowed = list(at(policy.properties, "PolicyDocument", "Statement")).filter(
      (statement) => at(statement, "Effect") === "Allow",
    );
    expect(allowed).toEqual([]);
  });

  test("travel over TLS only, of 1.2 or newer", () => {
    const denied = list(at(policy.properties, "PolicyDocument", "Statement"));
    const conditions = denied.map((statement) => at(statement, "Condition"));
    expect(conditions).toContainEqual({ Bool: { "aws:SecureTransport": "false" } });
    expect(conditions).toContainEqual({ NumericLessThan: { "s3:TlsVersion": 1.2 } });
    for (const statement of denied) {
      expect(at(statement, "Principal")).toEqual({ AWS: "*" });
      expect(at(statement, "Effect")).toBe("Deny");
    }
  });

  test("are kept for ever, or as long as the parameter says", () => {
    const rules = list(at(bucket.properties, "LifecycleConfiguration", "Rules"));
    expect(rules.filter((rule) => at(rule, "ExpirationInDays") !== null)).toEqual([]);
    const kept = synthesised(exampleSettings({ retentionDays: 90 }));
    const { properties } = kept.one("AWS::S3::Bucket", "recordingBucket/Bucket");
    expect(list(at(properties, "LifecycleConfiguration", "Rules"))).toContainEqual({
      Id: "Retention",
      Prefix: "RECORDINGS/",
      Status: "Enabled",
      ExpirationInDays: 90,
    });
  });

  test("that nobody completed can be for longer than anybody needs to notice", () => {
    const rules = list(at(bucket.properties, "LifecycleConfiguration", "Rules"));
    const days = rules.map((rule) => at(rule, "AbortIncompleteMultipartUpload", "DaysAfterInitiation"));
    expect(days).toEqual([worker.uploadAgeDays]);
    // The longest recording, the wait until the sweeper takes it for dead, its turns,
    // and a long week-end for a person.
    const hours = worker.longestRecordingHours + worker.orphanUploadAfterMinutes / 60 + 96;
    expect(worker.uploadAgeDays * 24).toBeGreaterThanOrEqual(hours);
    expect(worker.sweeperMinutes).toBeLessThan(worker.orphanUploadAfterMinutes);
  });
});

describe("the numbers are those of the worker and of the Lambdas:", () => {
  // Held from the other side, too, by a test in Rust.
  const source = (file: string) => readFileSync(join(repository, file), "utf8");
  const minutes = (file: string, constant: string): number => {
    const written = new RegExp(`const ${constant}: \\w+ = \\w+::from_(\\w+)\\((\\d+)\\)`).exec(
      source(file),
    );
    const unit = { secs: 1 / 60, mins: 1, hours: 60 }[written?.[1] ?? ""];
    if (unit === undefined) throw new Error(`${file} has no ${constant}`);
    return Number(written?.[2]) * unit;
  };

  test("stop timeout", () => {
    expect(minutes("src/recording/machine.rs", "STOP_TIMEOUT") * 60).toBe(worker.stopTimeoutSeconds);
  });

  test("sweeper", () => {
    const handler = "api-lambdas/recording-sweeper/src/handler.rs";
    expect(minutes(handler, "GRACE")).toBe(worker.orphanAfterMinutes);
    expect(minutes(handler, "UPLOAD_AGE")).toBe(worker.orphanUploadAfterMinutes);
    // A task that ECS still starts is no orphan, whenever the sweeper looks.
    expect(worker.orphanAfterMinutes * 60).toBeGreaterThan(20);
  });

  test("the user that the image is made for", () => {
    const [, user] = /^USER (\S+)$/m.exec(source("docker/Dockerfile")) ?? [];
    for (const of of [product, fargate]) expect(at(container(of), "User")).toBe(user);
  });

  test("longest recording", () => {
    expect(minutes("src/config.rs", "LONGEST_DURATION") / 60).toBe(worker.longestRecordingHours);
  });
});

describe.each([
  ["on instances", product],
  ["on Fargate", fargate],
])("a task %s", (_, of) => {
  test("has as long to stop as the recorder may need", () => {
    expect(at(container(of), "StopTimeout")).toBe(worker.stopTimeoutSeconds);
  });

  test("can do nothing to its host", () => {
    expect(container(of)).toMatchObject({
      User: "10001",
      Privileged: false,
      ReadonlyRootFilesystem: true,
      LinuxParameters: { InitProcessEnabled: true, Capabilities: { Drop: ["ALL"] } },
    });
    expect(at(container(of), "LinuxParameters", "Capabilities", "Add")).toBe(null);
    for (const { properties } of of.all("AWS::ECS::TaskDefinition")) {
      for (const volume of list(at(properties, "Volumes"))) {
        expect(volume).toEqual({ Name: "tmp" });
      }
    }
  });

  test("can write below /tmp, on disk", () => {
    expect(at(container(of), "MountPoints")).toEqual([
      { ContainerPath: "/tmp", ReadOnly: false, SourceVolume: "tmp" },
    ]);
    expect(at(container(of), "LinuxParameters", "Tmpfs")).toBe(null);
  });

  test("knows its region, and nothing that is secret", () => {
    expect(at(container(of), "Environment")).toEqual([
      { Name: "AWS_REGION", Value: "eu-central-1" },
    ]);
  });

  test("has a health check, a log and open files enough", () => {
    expect(at(container(of), "HealthCheck", "Command")).toEqual(["CMD", "recorder", "health"]);
    expect(at(container(of), "LogConfiguration", "LogDriver")).toBe("awslogs");
    expect(at(container(of), "Ulimits", 0, "Name")).toBe("nofile");
  });

  test("is run for this account only", () => {
    for (const name of ["Task/TaskRole", "Task/ExecutionRole"]) {
      const { properties } = of.one("AWS::IAM::Role", name);
      const [statement] = list(at(properties, "AssumeRolePolicyDocument", "Statement"));
      expect(at(statement, "Condition", "StringEquals")).toEqual({
        "aws:SourceAccount": "111122223333",
      });
    }
  });
});

describe("on Fargate", () => {
  test("the task has its own size, network interface and no shared memory", () => {
    expect(fargate.one("AWS::ECS::TaskDefinition").properties).toMatchObject({
      Cpu: "2048",
      Memory: "4096",
      NetworkMode: "awsvpc",
      RequiresCompatibilities: ["FARGATE"],
    });
    expect(at(container(fargate), "LinuxParameters", "SharedMemorySize")).toBe(null);
  });

  test("there are no instances, and the cluster runs tasks there", () => {
    expect(fargate.all("AWS::AutoScaling::AutoScalingGroup")).toEqual([]);
    expect(fargate.all("AWS::Lambda::Function").map(({ path }) => path)).not.toContain(
      "Recording/startRecordingPreWarmTaskLambda/Function",
    );
    expect(fargate.all("AWS::Events::Rule").map(({ path }) => path)).not.toContain(
      "Recording/containerInstanceRule",
    );
    expect(
      fargate.one("AWS::ECS::ClusterCapacityProviderAssociations").properties,
    ).toMatchObject({ CapacityProviders: ["FARGATE"] });
  });

  test("tasks are started in the private subnets, with the group that lets nothing in", () => {
    const network = "{Recording/RecordingCompute/Network";
    const subnets = [1, 2].map(
      (zone) => `${network}/recordingVPC/VideoCallEscalation-private-Subnet${zone}/Subnet}`,
    );
    expect(startVariables(fargate)).toMatchObject({
      ECS_CAPACITY_PROVIDER: "FARGATE",
      ECS_SECURITY_GROUPS: `${network}/recordingECSSecurityGroup.GroupId}`,
      ECS_SUBNETS: subnets.join(","),
    });
    const { properties } = fargate.one("AWS::EC2::SecurityGroup");
    expect(at(properties, "SecurityGroupIngress")).toBe(null);
  });

  test("only there: a task on an instance has the instance's network", () => {
    const given = startVariables(product);
    expect(at(given, "ECS_CAPACITY_PROVIDER")).not.toBe(null);
    expect(at(given, "ECS_SUBNETS")).toBe(null);
    expect(at(given, "ECS_SECURITY_GROUPS")).toBe(null);
  });
});

describe("instances", () => {
  const template = product.one("AWS::EC2::LaunchTemplate");
  const data = at(template.properties, "LaunchTemplateData");
  const group = product.one("AWS::AutoScaling::AutoScalingGroup");

  test("have no public address", () => {
    expect(at(data, "NetworkInterfaces", 0, "AssociatePublicIpAddress")).toBe(false);
    for (const { properties, path } of product.all("AWS::EC2::Subnet")) {
      expect(at(properties, "MapPublicIpOnLaunch"), path).toBe(false);
    }
    for (const subnet of list(at(group.properties, "VPCZoneIdentifier"))) {
      expect(subnet).toMatch(/private/);
    }
  });

  test("tell their credentials to nobody: IMDSv2, one hop", () => {
    expect(at(data, "MetadataOptions")).toEqual({ HttpTokens: "required", HttpPutResponseHopLimit: 1 });
  });

  test("have encrypted disks", () => {
    for (const device of list(at(data, "BlockDeviceMappings"))) {
      expect(at(device, "Ebs", "Encrypted")).toBe(true);
    }
  });

  test("are never ended while a recording runs on them", () => {
    const provider = at(
      product.one("AWS::ECS::CapacityProvider").properties,
      "AutoScalingGroupProvider",
    );
    expect(at(provider, "ManagedTerminationProtection")).toBe("ENABLED");
    expect(at(provider, "ManagedDraining")).toBe("ENABLED");
    expect(at(group.properties, "NewInstancesProtectedFromScaleIn")).toBe(true);
    // CloudFormation's own updates do not ask.
    expect(group.attributes["UpdatePolicy"]).toEqual({
      AutoScalingScheduledAction: { IgnoreUnmodifiedGroupSizeProperties: true },
    });
  });

  test("let containers stop in their time", () => {
    const script = at(data, "UserData", "Fn::Base64");
    expect(script).toContain(`ECS_CONTAINER_STOP_TIMEOUT=${worker.stopTimeoutSeconds}s\n`);
    expect(script).toContain("ECS_IMAGE_PULL_BEHAVIOR=prefer-cached\n");
    expect(script).toContain("ECS_CLUSTER=VideoCallEscalation-Recording\n");
  });

  test("signal that they are there, where one always is", () => {
    expect(group.attributes["CreationPolicy"]).toEqual({
      ResourceSignal: { Count: 1, Timeout: "PT15M" },
    });
    expect(at(data, "UserData", "Fn::Base64")).toContain(
      "cfn-signal --exit-code $? --stack {AWS::StackName} --resource RecordingECSAutoScalingGroup",
    );
    const none = synthesised(exampleSettings({ minInstances: 0 }));
    const empty = none.one("AWS::AutoScaling::AutoScalingGroup");
    expect(empty.attributes["CreationPolicy"]).toBeUndefined();
  });

  test("let nothing in", () => {
    const { properties } = product.one("AWS::EC2::SecurityGroup");
    expect(at(properties, "SecurityGroupIngress")).toBe(null);
    expect(product.all("AWS::EC2::SecurityGroupIngress")).toEqual([]);
  });
});

describe("policies", () => {
  const statements = product.all("AWS::IAM::Policy").flatMap(({ path, properties }) =>
    list(at(properties, "PolicyDocument", "Statement")).map((statement) => ({ path, statement })),
  );

  test("name every action", () => {
    for (const { path, statement } of statements) {
      for (const action of list(at(statement, "Action"))) expect(action, path).not.toContain("*");
    }
  });

  test("are about everything only where nothing can be named", () => {
    const everywhere = new Set<string>();
    for (const { statement } of statements) {
      if (!list(at(statement, "Resource")).includes("*")) continue;
      const limited = isObject(at(statement, "Condition")) ? " in the cluster" : "";
      for (const action of list(at(statement, "Action"))) everywhere.add(`${action}${limited}`);
    }
    expect([...everywhere].sort()).toEqual([
      "chime:CreateAttendee",
      "chime:DeleteAttendee",
      "ecr:GetAuthorizationToken",
      "ecs:DiscoverPollEndpoint",
      "ecs:ListTasks in the cluster",
      "ecs:Poll in the cluster",
      "ecs:StartTelemetrySession in the cluster",
    ]);
  });
});

describe("what is kept", () => {
  test("of logs, is for two months", () => {
    const groups = product.all("AWS::Logs::LogGroup");
    expect(groups.length).toBeGreaterThan(10);
    for (const { properties, path } of groups) {
      expect(at(properties, "RetentionInDays"), path).toBe(60);
    }
  });

  test("of lost events, is encrypted and comes over TLS", () => {
    const queues = product.all("AWS::SQS::Queue");
    expect(queues).toHaveLength(4);
    for (const { properties, path } of queues) {
      expect(at(properties, "SqsManagedSseEnabled"), path).toBe(true);
    }
  });

  test("in the table, can be brought back for 35 days", () => {
    const { properties } = product.one("AWS::DynamoDB::Table");
    expect(properties).toMatchObject({
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      SSESpecification: { SSEEnabled: true },
      TimeToLiveSpecification: { AttributeName: "TTL", Enabled: true },
      BillingMode: "PAY_PER_REQUEST",
    });
  });
});

test("an agent cannot become another one: the id in Connect is not theirs to write", () => {
  const { properties } = product.one("AWS::Cognito::UserPoolClient");
  expect(list(at(properties, "ReadAttributes"))).toContain("custom:connectUserId");
  const written = list(at(properties, "WriteAttributes"));
  expect(written).toContain("email");
  expect(written).not.toContain("custom:connectUserId");
});

test("every call of the API is signed, and no header is logged", () => {
  for (const { properties, path } of product.all("AWS::ApiGatewayV2::Route")) {
    expect(at(properties, "AuthorizationType"), path).toBe("AWS_IAM");
  }
  const stage = product.one("AWS::ApiGatewayV2::Stage");
  expect(at(stage.properties, "AccessLogSettings", "Format")).not.toMatch(/header|token/i);
});

test("every Lambda that is called by events keeps those that it fails at", () => {
  const kept = product.all("AWS::Lambda::EventInvokeConfig");
  expect(kept).toHaveLength(4);
  for (const { properties, path } of kept) {
    expect(at(properties, "DestinationConfig", "OnFailure", "Destination"), path).toMatch(
      /LostEvents\.Arn\}$/,
    );
  }
  for (const { properties, path } of product.all("AWS::Events::Rule")) {
    expect(at(properties, "Targets", 0, "DeadLetterConfig", "Arn"), path).toMatch(
      /LostEvents\.Arn\}$/,
    );
  }
});

test("a Lambda that was not built is an error where something could be deployed", () => {
  expect(() => synthesised(exampleSettings(), { placeholders: false })).toThrow(
    /bootstrap is missing: build it with \.\/dev lambdas/,
  );
});

describe("attached to an existing solution", () => {
  const existing = {
    tableName: "VideoCallEscalationDB",
    userPoolId: "eu-central-1_AbCdEfGhI",
    userPoolClientId: "0123456789abcdefghijklmnop",
    authenticatedRoleArn: "arn:aws:iam::111122223333:role/agents",
    bucketName: "calls",
  };
  const attached = synthesised(exampleSettings({ existing }));

  test("its stacks do not take the places of the solution's own", () => {
    const stacks = new Set(attached.resources.map(({ stack }) => stack));
    expect([...stacks].sort()).toEqual([
      "VideoCallEscalationRecordingBackend",
      "VideoCallEscalationRecordingChimeEventBridge",
    ]);
  });

  test("nothing is made that is there", () => {
    for (const type of [
      "AWS::DynamoDB::Table",
      "AWS::Cognito::UserPool",
      "AWS::S3::Bucket",
      // Its name is the solution's.
      "AWS::SSM::Parameter",
    ]) {
      expect(product.all(type), type).not.toEqual([]);
      expect(attached.all(type), type).toEqual([]);
    }
  });

  test("the solution's agents may call the API", () => {
    const { properties } = attached.one("AWS::IAM::Policy", "Api/Callers");
    expect(at(properties, "Roles")).toEqual(["agents"]);
  });

  test("what is there is used", () => {
    const start = attached.one("AWS::Lambda::Function", "StartRecordingLambda/Function");
    expect(at(start.properties, "Environment", "Variables")).toMatchObject({
      CognitoUserPoolClientId: existing.userPoolClientId,
      CognitoUserPoolId: existing.userPoolId,
      DDB_TABLE: existing.tableName,
      RECORDING_BUCKET_NAME: existing.bucketName,
    });
  });
});

describe("for an emulator of AWS", () => {
  const emulated = synthesised(exampleSettings(), { emulated: true });
  const types = (of: Assembly) => new Set(of.resources.map(({ type }) => type));

  test("what it does not know is left out", () => {
    for (const type of [
      "AWS::EC2::EIP",
      "AWS::EC2::NatGateway",
      "AWS::ECS::CapacityProvider",
      "AWS::ECS::ClusterCapacityProviderAssociations",
    ]) {
      expect(types(product), type).toContain(type);
      expect(types(emulated), type).not.toContain(type);
    }
  });

  test("and everything else is there", () => {
    const elsewhere = (of: Assembly) =>
      of.resources
        .filter(({ path, type }) => !path.includes("RecordingCompute") && !type.endsWith("Alarm"))
        .map(({ path }) => path);
    expect(elsewhere(emulated)).toEqual(elsewhere(product));
  });
});
