/**
 * What the README of the original promises of its RecordingStack, RecordingAPIStack
 * and ChimeEventBridge stack, row by row (S42 to S100). What a template can show is
 * looked for in the templates; for the rest the file is named that proves it, and
 * what it says there.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import worker from "../lib/worker.json";
import { at, list, type Json } from "./support/assembly";
import { exampleSettings, project, repository, synthesised } from "./support/product";

const product = synthesised();

const group = product.one("AWS::AutoScaling::AutoScalingGroup").properties;
const template = product.one("AWS::EC2::LaunchTemplate").properties;
const scaling = at(
  product.one("AWS::ECS::CapacityProvider").properties,
  "AutoScalingGroupProvider",
  "ManagedScaling",
);
const task = product.one("AWS::ECS::TaskDefinition").properties;
const container = at(task, "ContainerDefinitions", 0);
const network = "Recording/RecordingCompute/Network";

function rule(path: string): Json {
  return product.one("AWS::Events::Rule", path).properties;
}

function isCalled(lambda: string, byRule: string): void {
  expect(list(at(rule(byRule), "Targets")).map((target) => at(target, "Arn"))).toEqual([
    `{${lambda}/Function.Arn}`,
  ]);
}

function variables(lambda: string): Json {
  const { properties } = product.one("AWS::Lambda::Function", `${lambda}/Function`);
  return at(properties, "Environment", "Variables");
}

function route(key: string, lambda: string): void {
  const routes = product.all("AWS::ApiGatewayV2::Route");
  const found = routes.find(({ properties }) => properties["RouteKey"] === key);
  const target = String(found?.properties["Target"]).replace(/integrations\/\{(.*)\}/, "$1");
  expect(product.one("AWS::ApiGatewayV2::Integration", target).properties).toMatchObject({
    IntegrationUri: `{RecordingAPI/${lambda}/Function.Arn}`,
  });
}

describe("RecordingStack", () => {
  test("S42: the stacks have files of their own", () => {
    for (const file of ["recording", "recordingAPI", "cdk-chime-event-bridge"]) {
      expect(existsSync(join(project, `lib/${file}-stack.ts`)), file).toBe(true);
    }
  });

  test("S43: it is nested in the backend, whose name is the original's", () => {
    const nested = product.all("AWS::CloudFormation::Stack").find(({ path }) =>
      path.startsWith("Recording.NestedStack"),
    );
    expect(nested?.stack).toBe("VideoCallEscalationBackend");
  });

  test("S44, S46: two zones with a private and a public /24 each, instances in the private ones", () => {
    const subnets = product.all("AWS::EC2::Subnet");
    const cidrs = subnets.map(({ properties }) => String(properties["CidrBlock"]));
    expect(cidrs.map((cidr) => cidr.split("/")[1])).toEqual(["24", "24", "24", "24"]);
    const zones = new Set(
      subnets.map(({ properties }) => JSON.stringify(properties["AvailabilityZone"])),
    );
    expect(zones.size).toBe(2);
    const names = subnets.map(({ path }) => path.replace(`${network}/recordingVPC/`, ""));
    expect(names.sort()).toEqual([
      "VideoCallEscalation-private-Subnet1/Subnet",
      "VideoCallEscalation-private-Subnet2/Subnet",
      "VideoCallEscalation-public-Subnet1/Subnet",
      "VideoCallEscalation-public-Subnet2/Subnet",
    ]);
    expect(product.all("AWS::EC2::NatGateway")).toHaveLength(2);
    expect(list(at(group, "VPCZoneIdentifier"))).toHaveLength(2);
  });

  test("S45: the network is 10.5.0.0/16", () => {
    expect(product.one("AWS::EC2::VPC").properties["CidrBlock"]).toBe("10.5.0.0/16");
  });

  test("S46, and recordings do not pay for the NAT gateways", () => {
    const endpoints = product.all("AWS::EC2::VPCEndpoint").map(({ properties }) => properties);
    expect(endpoints.map((endpoint) => endpoint["ServiceName"]).sort()).toEqual([
      "com.amazonaws.eu-central-1.dynamodb",
      "com.amazonaws.eu-central-1.s3",
    ]);
    for (const endpoint of endpoints) {
      expect(endpoint["VpcEndpointType"]).toBe("Gateway");
      expect(JSON.stringify(endpoint["RouteTableIds"])).toContain("private-Subnet1");
    }
  });

  test("S48: everything out", () => {
    expect(product.one("AWS::EC2::SecurityGroup").properties).toMatchObject({
      GroupName: "VideoCallEscalation-RecordingECSSecurityGroup",
      SecurityGroupEgress: [{ CidrIp: "0.0.0.0/0", IpProtocol: "-1" }],
    });
  });

  test("S49: a cluster with container insights", () => {
    expect(product.one("AWS::ECS::Cluster").properties).toEqual({
      ClusterName: "VideoCallEscalation-Recording",
      ClusterSettings: [{ Name: "containerInsights", Value: "enabled" }],
    });
  });

  test("S50: a group without public addresses, under its fixed logical id", () => {
    expect(product.one("AWS::AutoScaling::AutoScalingGroup").id).toBe(
      "RecordingECSAutoScalingGroup",
    );
    const device = at(template, "LaunchTemplateData", "NetworkInterfaces", 0);
    expect(at(device, "AssociatePublicIpAddress")).toBe(false);
  });

  test("S51: c5.2xlarge, and as a parameter says", () => {
    expect(at(template, "LaunchTemplateData", "InstanceType")).toBe("c5.2xlarge");
    const other = synthesised(exampleSettings({ instanceType: "m5.4xlarge" }));
    const data = other.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"];
    expect(at(data, "InstanceType")).toBe("m5.4xlarge");
  });

  test("S52, S53: one instance always, five at most", () => {
    expect(group).toMatchObject({ MinSize: "1", MaxSize: "5" });
    // A number that ECS has set is not set back.
    expect(at(group, "DesiredCapacity")).toBe(null);
  });

  test("S54: managed scaling, and starts go through it", () => {
    expect(at(scaling, "Status")).toBe("ENABLED");
    const provider = "{Recording/RecordingCompute/Fleet/recordingECSCapacityProvider}";
    expect(at(variables("StartRecordingLambda"), "ECS_CAPACITY_PROVIDER")).toBe(provider);
    const { properties } = product.one("AWS::ECS::ClusterCapacityProviderAssociations");
    expect(properties["CapacityProviders"]).toEqual([provider]);
  });

  test("S55, S56, S57: one or two at a step, 60 %", () => {
    expect(scaling).toMatchObject({
      MinimumScalingStepSize: 1,
      MaximumScalingStepSize: 2,
      TargetCapacity: 60,
    });
  });

  test("S58, S65: the image is built by whoever deploys, for the processor it runs on", () => {
    expect(at(container, "Image")).toMatch(
      /^111122223333\.dkr\.ecr\.eu-central-1\.amazonaws\.com\/cdk-.*:[0-9a-f]{64}$/,
    );
    const sources = readFileSync(join(project, "lib/sources.ts"), "utf8");
    expect(sources).toContain('file: "docker/Dockerfile"');
    expect(sources).toContain("Platform.LINUX_AMD64");
  });

  test("S66, S67: cpu and memory are reserved, as the parameters say", () => {
    expect(container).toMatchObject({ Cpu: 2048, Memory: 4096, MemoryReservation: 4096 });
    const asBefore = synthesised(exampleSettings({ taskCpu: 4096, taskMemoryMiB: 8192 }));
    const definition = asBefore.one("AWS::ECS::TaskDefinition").properties;
    expect(at(definition, "ContainerDefinitions", 0)).toMatchObject({ Cpu: 4096, Memory: 8192 });
  });

  test("S65: bridge network, shared memory for the browser, the container's name", () => {
    expect(task).toMatchObject({ NetworkMode: "bridge", RequiresCompatibilities: ["EC2"] });
    expect(at(container, "LinuxParameters", "SharedMemorySize")).toBe(2048);
    expect(at(container, "Name")).toBe("VideoCallEscalation-RecordingContainer");
    expect(at(variables("StartRecordingLambda"), "ECS_CONTAINER_NAME")).toBe(worker.containerName);
  });

  test("S68: recordings are under RECORDINGS/, in the bucket with the original's name", () => {
    const { properties } = product.one("AWS::S3::Bucket", "recordingBucket/Bucket");
    expect(properties["BucketName"]).toBe(
      "videocallescalation-recordingbucket-111122223333-eu-central-1",
    );
  });

  test("S69: each new instance calls the pre-warm Lambda", () => {
    expect(at(rule("containerInstanceRule"), "EventPattern")).toEqual({
      source: ["aws.ecs"],
      "detail-type": ["ECS Container Instance State Change"],
      detail: { clusterArn: ["{Recording/recordingECSCluster.Arn}"], agentConnected: [true] },
    });
    isCalled("Recording/startRecordingPreWarmTaskLambda", "containerInstanceRule");
  });

  test("S70: which runs the recorder's own task", () => {
    const given = variables("startRecordingPreWarmTaskLambda");
    const start = variables("StartRecordingLambda");
    for (const name of ["ECS_TASK_DEFINITION_ARN", "ECS_CONTAINER_NAME"]) {
      expect(at(given, name)).toBe(at(start, name));
    }
  });

  test("beside the original: a task's state and a schedule call who repairs", () => {
    expect(at(rule("taskStateRule"), "EventPattern")).toEqual({
      source: ["aws.ecs"],
      "detail-type": ["ECS Task State Change"],
      detail: {
        clusterArn: ["{Recording/recordingECSCluster.Arn}"],
        lastStatus: ["RUNNING", "STOPPED"],
      },
    });
    isCalled("Recording/recordingTaskStateLambda", "taskStateRule");
    expect(at(rule("sweeperRule"), "ScheduleExpression")).toBe("rate(5 minutes)");
    isCalled("Recording/recordingSweeperLambda", "sweeperRule");
  });
});

describe("RecordingAPIStack", () => {
  test("S71: it is nested in the backend", () => {
    const nested = product.all("AWS::CloudFormation::Stack").find(({ path }) =>
      path.startsWith("RecordingAPI.NestedStack"),
    );
    expect(nested?.stack).toBe("VideoCallEscalationBackend");
  });

  test("S74: the attendee's name is the parameter", () => {
    expect(at(variables("StartRecordingLambda"), "RECORDING_ATTENDEE_NAME")).toBe("RECORDING");
  });

  test("S78: the size of the picture is 1920 x 1080", () => {
    expect(variables("StartRecordingLambda")).toMatchObject({
      RECORDING_SCREEN_WIDTH: "1920",
      RECORDING_SCREEN_HEIGHT: "1080",
    });
  });

  test("S87, S88: who may play, and for how long an address is good, are parameters", () => {
    expect(variables("GetRecordingSummaryLambda")).toMatchObject({
      recordingPlaybackSecurityProfileId: "00000000-0000-4000-8000-000000000003",
      recordingPresignedURLExpiresMinutes: "15",
    });
  });

  test("S90: an HTTP API whose calls are signed", () => {
    expect(product.one("AWS::ApiGatewayV2::Api").properties["ProtocolType"]).toBe("HTTP");
    expect(product.one("AWS::ApiGatewayV2::Stage").properties["StageName"]).toBe("$default");
    const types = product
      .all("AWS::ApiGatewayV2::Route")
      .map(({ properties }) => properties["AuthorizationType"]);
    expect(new Set(types)).toEqual(new Set(["AWS_IAM"]));
  });

  test("S91: POST /recording starts", () => route("POST /recording", "StartRecordingLambda"));

  test("S92: DELETE /recording stops", () => route("DELETE /recording", "StopRecordingLambda"));

  test("S93: GET /recording-summary lists", () =>
    route("GET /recording-summary", "GetRecordingSummaryLambda"));
});

describe("CdkChimeEventBridgeStack", () => {
  test("S94: a stack in us-east-1 that comes after the backend", () => {
    const { stack } = product.one("AWS::Events::Rule", "ChimeMeetingEndsRule");
    expect(stack).toBe("VideoCallEscalationChimeEventBridge");
    const { region, dependencies } = product.stacks[stack] ?? {};
    expect(region).toBe("us-east-1");
    expect(dependencies).toContain("VideoCallEscalationBackend");
  });

  test("S95: the end of a meeting calls the Lambda", () => {
    expect(at(rule("ChimeMeetingEndsRule"), "EventPattern")).toEqual({
      source: ["aws.chime"],
      detail: { eventType: ["chime:MeetingEnded"] },
    });
    isCalled("stopRecordingEventTargetLambda", "ChimeMeetingEndsRule");
  });

  test("S96: which looks for table and tasks in the backend's region", () => {
    expect(variables("stopRecordingEventTargetLambda")).toEqual({
      DDB_REGION: "eu-central-1",
      DDB_TABLE: "VideoCallEscalationDB",
      ECS_CLUSTER_ARN:
        "arn:aws:ecs:eu-central-1:111122223333:cluster/VideoCallEscalation-Recording",
      ECS_CLUSTER_REGION: "eu-central-1",
    });
  });
});

/** Row, what it promises, and where it is proven: a file, and what it says. */
const ELSEWHERE: readonly (readonly [string, string, string, string])[] = [
  ["S47", "more subnets for more calls", "deploy/lib/constructs/network.ts", "ZONES = 2"],
  ["S59", "a supported base (D12)", "deploy/lib/sources.ts", "docker/Dockerfile"],
  ["S60", "run.sh is the worker itself (D11)", "src/run.rs", "pub async fn"],
  ["S61", "the page gets the meeting", "recording-app/src/parameters.ts", "chimeMeetingData"],
  ["S62", "screen to S3", "src/capture/pipeline.rs", "x264enc"],
  ["S63", "all participants", "recording-app/src/session.ts", "videoTileDidUpdate"],
  ["S64", "pinned and built", "recording-app/package.json", '"build"'],
  ["S68", "the key", "api-lambdas/contract/src/names.rs", "_UTC.mp4"],
  ["S72", "rights to start", "deploy/test/rights.test.ts", "StartRecordingLambda"],
  ["S73", "one at a time", "tests/local-cloud/tests/it/races.rs", "of_two_starts_at_once"],
  ["S75", "join data", "api-lambdas/start-recording/src/handler/tests.rs", "a_start_leaves_the_items"],
  ["S76", "the file's name", "api-lambdas/start-recording/src/handler/tests.rs", "recordingS3Object"],
  ["S77", "first only", "api-lambdas/start-recording/src/handler/tests.rs", "the_contact_learns_where"],
  ["S78", "seven variables", "api-lambdas/contract/src/task.rs", "CHIME_ATTENDEE_DATA"],
  ["S79", "the id", "api-lambdas/start-recording/src/handler/tests.rs", "a_start_leaves_the_items"],
  ["S80", "rights to stop", "deploy/test/rights.test.ts", "StopRecordingLambda"],
  ["S81", "rejects", "api-lambdas/stop-recording/src/handler/tests.rs", "nothing_in_progress_is_rejected"],
  ["S82", "every one", "api-lambdas/stop-recording/src/handler/tests.rs", "holds_up_no_other"],
  ["S83", "endedAt", "api-lambdas/stop-recording/src/handler/tests.rs", "the_owner_ends_the_recording"],
  ["S84", "attendee gone", "api-lambdas/stop-recording/src/handler/tests.rs", "and_its_attendee"],
  ["S85", "two counts", "api-lambdas/stop-recording/src/handler/tests.rs", "recordingsNotStopped"],
  ["S86", "rights to list", "deploy/test/rights.test.ts", "GetRecordingSummaryLambda"],
  ["S87", "groups", "tests/local-cloud/tests/it/api.rs", "is_shown_to_its_group"],
  ["S88", "expiry", "api-lambdas/recording-summary/src/handler/tests.rs", "an_address_is_good_for"],
  ["S89", "the list", "tests/local-cloud/tests/it/product.rs", "stopped_listed_and_played"],
  ["S96", "rights of the event's Lambda", "deploy/test/rights.test.ts", "stopRecordingEventTargetLambda"],
  ["S97", "nothing in progress", "api-lambdas/stop-recording-event/src/handler.rs", "Counts::default"],
  ["S98", "each task", "tests/local-cloud/tests/it/races.rs", "the_end_of_a_meeting_stops"],
  ["S99", "endedAt", "tests/local-cloud/tests/it/product.rs", "the_end_of_the_meeting_ends"],
  ["S100", "both counts", "api-lambdas/stop-recording-event/src/handler.rs", "recordings_not_stopped"],
];

describe("is proven elsewhere", () => {
  test.each(ELSEWHERE)("%s: %s", (_, __, file, words) => {
    expect(readFileSync(join(repository, file), "utf8").includes(words), file).toBe(true);
  });
});

test("no row from S42 to S100 is left out", () => {
  const here = readFileSync(join(import.meta.dirname, "rows.test.ts"), "utf8");
  const named = new Set([...here.matchAll(/\bS(\d+)\b(?=[,:"])/g)].map(([, row]) => Number(row)));
  const rows = Array.from({ length: 59 }, (_, index) => 42 + index);
  expect(rows.filter((row) => !named.has(row))).toEqual([]);
});
