/**
 * A pipeline that deploys what is pushed, itself included. It must not know what the
 * stacks are made of that it deploys.
 */
import { Arn, Duration, RemovalPolicy, Stack, type Environment } from "aws-cdk-lib";
import { BuildSpec, ComputeType, LinuxBuildImage } from "aws-cdk-lib/aws-codebuild";
import { Repository, type IRepository } from "aws-cdk-lib/aws-codecommit";
import { PolicyStatement, User } from "aws-cdk-lib/aws-iam";
import { BlockPublicAccess, Bucket, BucketEncryption } from "aws-cdk-lib/aws-s3";
import { StringParameter } from "aws-cdk-lib/aws-ssm";
import { CodeBuildStep, CodePipeline, CodePipelineSource } from "aws-cdk-lib/pipelines";
import type { Construct } from "constructs";
import { RecorderStage } from "./backend-stage";
import { APPLICATION, HIERARCHY } from "./names";
import type { PipelineSettings, Settings } from "./settings";

export interface PipelineStackProps {
  readonly env: Environment;
  readonly settings: Settings;
  readonly pipeline: PipelineSettings;
}

export class PipelineStack extends Stack {
  constructor(scope: Construct, id: string, { env, settings, pipeline }: PipelineStackProps) {
    super(scope, id, {
      stackName: `${APPLICATION}Pipeline`,
      description: "Video call recording: the pipeline that deploys it",
      env,
    });
    const delivery = new CodePipeline(this, "Pipeline", {
      pipelineName: `${APPLICATION}-Pipeline`,
      synth: this.synth(this.source(pipeline)),
      selfMutation: true,
      artifactBucket: artifacts(this),
      // One role to give a right to, rather than one for each action.
      usePipelineRoleForActions: true,
      // The recorder's image is built when assets are published.
      dockerEnabledForSynth: false,
      assetPublishingCodeBuildDefaults: {
        buildEnvironment: { computeType: ComputeType.LARGE },
      },
    });
    delivery.addStage(
      new RecorderStage(this, `${APPLICATION}-${pipeline.stageName}`, { settings, env }),
    );
    delivery.buildPipeline();
    if (pipeline.connectionArn !== undefined) {
      // The construct gives it by the service's former name only.
      delivery.pipeline.addToRolePolicy(
        new PolicyStatement({
          actions: ["codeconnections:UseConnection"],
          resources: [pipeline.connectionArn],
        }),
      );
    }
  }

  private source(pipeline: PipelineSettings): CodePipelineSource {
    const { source, repositoryName, branch, connectionArn } = pipeline;
    if (source === "codecommit") {
      const repository = this.repository(pipeline);
      this.pushingUser(repository, repositoryName);
      return CodePipelineSource.codeCommit(repository, branch);
    }
    if (connectionArn === undefined) throw new Error("codeconnections needs a connection");
    return CodePipelineSource.connection(repositoryName, branch, { connectionArn });
  }

  private repository({ repositoryName, createRepository }: PipelineSettings): IRepository {
    if (!createRepository) {
      return Repository.fromRepositoryName(this, "Repository", repositoryName);
    }
    const repository = new Repository(this, "Repository", {
      repositoryName,
      description: "Video call recording: what the pipeline deploys",
    });
    // It may be the only copy of what somebody pushed.
    repository.applyRemovalPolicy(RemovalPolicy.RETAIN);
    return repository;
  }

  /** Git credentials are made for this user by hand; it can do nothing else. */
  private pushingUser(repository: IRepository, repositoryName: string): void {
    const userName = `codecommit-user-${repositoryName}`;
    const user = new User(this, "RepositoryUser", { userName });
    user.addToPolicy(
      new PolicyStatement({
        actions: ["codecommit:GitPull", "codecommit:GitPush"],
        resources: [repository.repositoryArn],
      }),
    );
    const told = {
      RepositoryUsername: userName,
      RepositoryUserURL: `https://console.aws.amazon.com/iam/home#/users/${userName}`,
      RepositoryURL: repository.repositoryCloneUrlHttp,
    };
    for (const [name, stringValue] of Object.entries(told)) {
      const parameterName = `${HIERARCHY}outputParameters/${name}`;
      new StringParameter(this, name, { parameterName, stringValue });
    }
  }

  private synth(input: CodePipelineSource): CodeBuildStep {
    return new CodeBuildStep("Synth", {
      input,
      installCommands: [
        // `./dev` builds with tools from a Python environment.
        "apt-get update -q && apt-get install -y --no-install-recommends python3-venv",
        // The build image has no Rust; rust-toolchain.toml says which is installed.
        "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs" +
          " | sh -s -- -y --profile minimal --default-toolchain none",
        '"$HOME/.cargo/bin/rustup" toolchain install',
      ],
      commands: [
        // With bash, as a source may come without the right to be executed.
        "bash dev lambdas",
        "cd deploy",
        "npm ci",
        "npx cdk synth",
      ],
      primaryOutputDirectory: "deploy/cdk.out",
      buildEnvironment: {
        buildImage: LinuxBuildImage.STANDARD_7_0,
        computeType: ComputeType.LARGE,
      },
      partialBuildSpec: BuildSpec.fromObject({
        phases: { install: { "runtime-versions": { nodejs: "22" } } },
      }),
      rolePolicyStatements: [
        new PolicyStatement({
          actions: ["ssm:GetParameter", "ssm:GetParameters"],
          resources: [
            Arn.format(
              { service: "ssm", resource: "parameter", resourceName: `${APPLICATION}/*` },
              this,
            ),
          ],
        }),
        // The network is planned over the zones that the account has.
        new PolicyStatement({ actions: ["ec2:DescribeAvailabilityZones"], resources: ["*"] }),
      ],
    });
  }
}

/** Sources and templates on their way through the pipeline. */
function artifacts(scope: Construct): Bucket {
  return new Bucket(scope, "Artifacts", {
    encryption: BucketEncryption.S3_MANAGED,
    enforceSSL: true,
    blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
    lifecycleRules: [
      { expiration: Duration.days(30), abortIncompleteMultipartUploadAfter: Duration.days(1) },
    ],
    removalPolicy: RemovalPolicy.RETAIN,
  });
}
