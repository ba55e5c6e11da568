/** The pipeline's template; the stacks that it deploys have tests of their own. */
import { Stage, type Stack } from "aws-cdk-lib";
import { Match, Template } from "aws-cdk-lib/assertions";
import { AwsSolutionsChecks } from "cdk-nag";
import { beforeAll, describe, expect, test } from "vitest";
import { PipelineStack } from "../lib/pipeline-stack";
import { settingsFrom } from "../lib/settings";
import { app, ENV } from "./support/product";

const ID = "01234567-89ab-4cde-8f01-23456789abcd";
const CONNECTION = `arn:aws:codeconnections:eu-central-1:111122223333:connection/${ID}`;

const PARAMETERS = {
  connectInstanceARN: `arn:aws:connect:eu-central-1:111122223333:instance/${ID}`,
  connectInstanceURL: "https://example.my.connect.aws",
  connectDefaultContactFlowId: ID,
  cognitoDomainPrefix: "example",
  deployRecordingStack: "true",
  recordingPlaybackSecurityProfileId: ID,
  cdkPipelineEnabled: "true",
  cdkPipelineRepositoryName: "Calls",
  cdkPipelineRepositoryBranchName: "main",
  cdkPipelineStageName: "Prod",
};

function pipelineStack(changed: Readonly<Record<string, string>> = {}): Stack {
  const settings = settingsFrom({ ...PARAMETERS, ...changed });
  if (settings.pipeline === undefined) throw new Error("the settings have no pipeline");
  return new PipelineStack(app(), "CdkPipelineStack", {
    env: ENV,
    settings,
    pipeline: settings.pipeline,
  });
}

describe("with CodeCommit", () => {
  let stack: Stack;
  let template: Template;

  beforeAll(() => {
    stack = pipelineStack();
    template = Template.fromStack(stack);
  });

  test("S8: a pipeline deploys", () => {
    expect(stack.stackName).toBe("VideoCallEscalationPipeline");
    template.hasResourceProperties("AWS::CodePipeline::Pipeline", {
      Name: "VideoCallEscalation-Pipeline",
    });
  });

  test("S9, S20: the pipeline first updates itself, and then what it deploys", () => {
    expect(stageNames(template)).toEqual([
      "Source",
      "Build",
      "UpdatePipeline",
      "Assets",
      "VideoCallEscalation-Prod",
    ]);
    template.hasResourceProperties("AWS::CodePipeline::Pipeline", {
      RestartExecutionOnUpdate: true,
    });
  });

  test("S12, S13: it is started by a push to the branch of the repository", () => {
    template.hasResource("AWS::CodeCommit::Repository", {
      Properties: { RepositoryName: "Calls" },
      DeletionPolicy: "Retain",
    });
    template.hasResourceProperties("AWS::Events::Rule", {
      EventPattern: Match.objectLike({
        source: ["aws.codecommit"],
        detail: Match.objectLike({ referenceName: ["main"] }),
      }),
    });
    expect(action(template, "Source")).toMatchObject({
      ActionTypeId: { Provider: "CodeCommit" },
      Configuration: { BranchName: "main" },
    });
  });

  test("S15, S17: its stage deploys the backend, and the end of meetings after it", () => {
    const deployed = stack.node.findAll().filter((one) => one instanceof Stage);
    expect(deployed.map(({ node }) => node.id)).toEqual(["VideoCallEscalation-Prod"]);
    const actions = actionsOf(template, "VideoCallEscalation-Prod");
    const deploying = actions.filter(
      ({ Configuration }) => Configuration["ActionMode"] === "CHANGE_SET_EXECUTE",
    );
    const order = [...deploying].sort((one, other) => one.RunOrder - other.RunOrder);
    expect(order.map(({ Configuration, Region }) => [Configuration["StackName"], Region])).toEqual([
      ["VideoCallEscalationBackend", undefined],
      ["VideoCallEscalationChimeEventBridge", "us-east-1"],
    ]);
  });

  test("S16: what it builds from is read from Parameter Store, and no more of it", () => {
    const rights = rightsTo(template, /^ssm:/);
    expect(rights.flatMap(({ Action }) => Action).sort()).toEqual([
      "ssm:GetParameter",
      "ssm:GetParameters",
    ]);
    expect(JSON.stringify(rights)).toContain(
      ":ssm:eu-central-1:111122223333:parameter/VideoCallEscalation/*",
    );
  });

  test("the build makes Lambdas and templates, and may look at zones", () => {
    const build = synthBuild(template);
    expect(build).toContain("bash dev lambdas");
    expect(build.indexOf("bash dev lambdas")).toBeLessThan(build.indexOf("npx cdk synth"));
    expect(build).toContain('"base-directory": "deploy/cdk.out"');
    const zones = rightsTo(template, /^ec2:/);
    expect(zones.flatMap(({ Action }) => Action)).toEqual(["ec2:DescribeAvailabilityZones"]);
  });

  test("S41: the recorder's image is built where Docker is", () => {
    template.hasResourceProperties("AWS::CodeBuild::Project", {
      Environment: Match.objectLike({ PrivilegedMode: true }),
      Source: Match.objectLike({ BuildSpec: Match.stringLikeRegexp("cdk-assets") }),
    });
  });

  test("S19: a user may pull and push, and nothing else", () => {
    template.hasResourceProperties("AWS::IAM::User", { UserName: "codecommit-user-Calls" });
    template.resourcePropertiesCountIs("AWS::IAM::Policy", { Users: Match.anyValue() }, 1);
    template.hasResourceProperties("AWS::IAM::Policy", {
      Users: Match.anyValue(),
      PolicyDocument: {
        Statement: [
          {
            Effect: "Allow",
            Action: ["codecommit:GitPull", "codecommit:GitPush"],
            Resource: { "Fn::GetAtt": [Match.stringLikeRegexp("^Repository"), "Arn"] },
          },
        ],
        Version: Match.anyValue(),
      },
    });
  });

  test.each(["RepositoryUsername", "RepositoryUserURL", "RepositoryURL"])("tells %s", (name) => {
    template.hasResourceProperties("AWS::SSM::Parameter", {
      Name: `/VideoCallEscalation/outputParameters/${name}`,
      Type: "String",
    });
  });

  test("what is on its way is encrypted, private and soon gone", () => {
    template.hasResourceProperties("AWS::S3::Bucket", {
      BucketEncryption: Match.anyValue(),
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      },
      LifecycleConfiguration: {
        Rules: [Match.objectLike({ ExpirationInDays: 30, Status: "Enabled" })],
      },
    });
  });
});

test("S11: cdk-pipeline-enabled decides whether there is a pipeline", () => {
  expect(settingsFrom(PARAMETERS).pipeline).toBeDefined();
  const off = settingsFrom({ ...PARAMETERS, cdkPipelineEnabled: "false" });
  expect(off.pipeline).toBeUndefined();
  expect(off.recording).toBeDefined();
});

test("S14: an existing repository is taken as it is", () => {
  const template = Template.fromStack(pipelineStack({ cdkPipelineCreateNewRepository: "false" }));
  template.resourceCountIs("AWS::CodeCommit::Repository", 0);
  expect(action(template, "Source")).toMatchObject({
    Configuration: { RepositoryName: "Calls" },
  });
  template.hasResourceProperties("AWS::IAM::User", { UserName: "codecommit-user-Calls" });
});

test("S40: without recording it deploys the backend alone", () => {
  const template = Template.fromStack(pipelineStack({ deployRecordingStack: "false" }));
  const stacks = actionsOf(template, "VideoCallEscalation-Prod").map(
    ({ Configuration }) => Configuration["StackName"],
  );
  expect(new Set(stacks)).toEqual(new Set(["VideoCallEscalationBackend"]));
});

describe("with a connection", () => {
  let template: Template;

  beforeAll(() => {
    template = Template.fromStack(
      pipelineStack({
        cdkPipelineSource: "codeconnections",
        cdkPipelineConnectionArn: CONNECTION,
        cdkPipelineRepositoryName: "owner/calls",
      }),
    );
  });

  test("S18: the code is where it is developed", () => {
    expect(action(template, "Source")).toMatchObject({
      ActionTypeId: { Provider: "CodeStarSourceConnection" },
      Configuration: {
        ConnectionArn: CONNECTION,
        FullRepositoryId: "owner/calls",
        BranchName: "main",
      },
    });
    template.resourceCountIs("AWS::CodeCommit::Repository", 0);
    template.resourceCountIs("AWS::IAM::User", 0);
  });

  test("it may use that connection, by either name of the service", () => {
    const rights = rightsTo(template, /UseConnection$/);
    expect(rights.map(({ Action, Resource }) => [Action, Resource])).toEqual([
      [["codeconnections:UseConnection", "codestar-connections:UseConnection"], CONNECTION],
    ]);
  });
});

interface Acknowledged {
  readonly rule: RegExp;
  /** At the end of the path of the construct. */
  readonly where: RegExp;
  readonly reason: string;
}

const ACKNOWLEDGED: readonly Acknowledged[] = [
  {
    rule: /^AwsSolutions-S1$/,
    where: /Artifacts$/,
    reason: "Only the pipeline reads and writes it, whose executions are logged",
  },
  {
    rule: /^AwsSolutions-CB4$/,
    where: /(CdkBuildProject|SelfMutation|(File|Docker)Asset\d*)$/,
    reason: "What is built are templates and code without secrets: AWS's own key is enough",
  },
  {
    rule: /^AwsSolutions-IAM5\[(Action::s3:\w+\*|Resource::(<Artifacts\w+\.Arn>|arn:aws:s3:::\w+plicationbucket\w+)\/\*)\]$/,
    where: /Role\/DefaultPolicy$/,
    reason: "All that is on its way through its buckets in both regions, whose keys it makes",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::arn:aws:(logs|codebuild):[^\]]+\*\]$/,
    where: /Role\/DefaultPolicy$/,
    reason: "Logs and reports of builds, which CodeBuild gives their names",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::arn:aws:ssm:[\w:-]+:parameter\/VideoCallEscalation\/\*\]$/,
    where: /Synth\/CdkBuildProject\/Role\/DefaultPolicy$/,
    reason: "The parameters of this application, which hold no secrets",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::\*\]$/,
    where: /Synth\/CdkBuildProject\/Role\/DefaultPolicy$/,
    reason: "ec2:DescribeAvailabilityZones knows no resources",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::(\*|arn:\*:iam::\d+:role\/\*)\]$/,
    where: /(SelfMutation|(File|Docker)Role)\/(Role\/)?DefaultPolicy$/,
    reason: "Roles of the bootstrap, limited by their tag; the names of stacks to look up",
  },
];

describe("cdk-nag", () => {
  let found: readonly { readonly rule: string; readonly path: string }[];

  beforeAll(() => {
    const stack = pipelineStack();
    const { violations } = new AwsSolutionsChecks(stack).validateScope(stack);
    found = violations
      .flatMap(({ ruleName: rule, violatingResources }) =>
        violatingResources.map(({ constructPath = "" }) => ({
          rule,
          path: constructPath.replace(/\/Resource$/, ""),
        })),
      )
      // What it deploys has a test of its own.
      .filter(({ path }) => !path.includes("/VideoCallEscalation-Prod/"));
  });

  const fits = ({ rule, where }: Acknowledged, one: { rule: string; path: string }): boolean =>
    rule.test(one.rule) && where.test(one.path);

  test("every finding has a reason to stay", () => {
    expect(found.filter((one) => !ACKNOWLEDGED.some((known) => fits(known, one)))).toEqual([]);
  });

  test.each(ACKNOWLEDGED)("the reason is still needed for $rule at $where", (known) => {
    expect(
      found.filter((one) => fits(known, one)),
      known.reason,
    ).not.toEqual([]);
  });
});

interface PipelineAction {
  readonly Name: string;
  readonly RunOrder: number;
  readonly Region?: string;
  readonly Configuration: Readonly<Record<string, string>>;
}

interface PipelineStage {
  readonly Name: string;
  readonly Actions: readonly PipelineAction[];
}

interface Statement {
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
}

function stagesOf(template: Template): readonly PipelineStage[] {
  const [pipeline] = Object.values(template.findResources("AWS::CodePipeline::Pipeline"));
  const stages: readonly PipelineStage[] = pipeline?.["Properties"].Stages;
  return stages;
}

function stageNames(template: Template): readonly string[] {
  return stagesOf(template).map(({ Name }) => Name);
}

function actionsOf(template: Template, stage: string): readonly PipelineAction[] {
  return stagesOf(template).find(({ Name }) => Name === stage)?.Actions ?? [];
}

function action(template: Template, stage: string): PipelineAction | undefined {
  return actionsOf(template, stage)[0];
}

/** All that any policy gives of such actions. */
function rightsTo(template: Template, actions: RegExp): readonly Statement[] {
  return Object.values(template.findResources("AWS::IAM::Policy"))
    .flatMap((policy): readonly Statement[] => policy["Properties"].PolicyDocument.Statement)
    .filter(({ Action }) => [Action].flat().some((one) => actions.test(one)));
}

function synthBuild(template: Template): string {
  const builds = Object.values(template.findResources("AWS::CodeBuild::Project"))
    .map((project): unknown => project["Properties"].Source.BuildSpec)
    .filter((build) => typeof build === "string");
  return builds.find((build) => build.includes("npm ci")) ?? "";
}
