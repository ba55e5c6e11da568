/**
 * The recorder as an ECS task: its image, limits, rights and log. It must not know
 * who starts it, nor where it runs.
 */
import { Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import {
  Capability,
  Compatibility,
  ContainerImage,
  CpuArchitecture,
  LinuxParameters,
  LogDriver,
  NetworkMode,
  OperatingSystemFamily,
  TaskDefinition,
  UlimitName,
  type ContainerDefinition,
} from "aws-cdk-lib/aws-ecs";
import { Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { APPLICATION } from "../names";
import { statements, type Things } from "../rights";
import type { RecordingSettings } from "../settings";
import worker from "../worker.json";

/** The browser keeps pictures in it, and its tabs crash in Docker's usual 64 MiB. */
const SHARED_MEMORY_MIB = 2048;

/** Firefox has many files and sockets open. */
const OPEN_FILES = 65_536;

export interface TaskProps {
  readonly image: ContainerImage;
  readonly recording: RecordingSettings;
  readonly things: Things;
}

export class RecordingTask extends Construct {
  readonly definition: TaskDefinition;
  readonly logGroup: LogGroup;

  constructor(scope: Construct, id: string, { image, recording, things }: TaskProps) {
    super(scope, id);
    const fargate = recording.launchType === "FARGATE";
    this.logGroup = new LogGroup(this, "recordingLogGroup", {
      logGroupName: `${APPLICATION}-RecordingTask`,
      retention: RetentionDays.TWO_MONTHS,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const taskRole = this.role("TaskRole", "what the recorder itself may do");
    for (const statement of statements(Stack.of(this), "recorder", things)) {
      taskRole.addToPolicy(statement);
    }
    this.definition = new TaskDefinition(this, "recordingTaskDefinition", {
      compatibility: fargate ? Compatibility.FARGATE : Compatibility.EC2,
      networkMode: fargate ? NetworkMode.AWS_VPC : NetworkMode.BRIDGE,
      taskRole,
      executionRole: this.role("ExecutionRole", "how ECS gets the image and writes the log"),
      ...(fargate && {
        cpu: String(recording.taskCpu),
        memoryMiB: String(recording.taskMemoryMiB),
        runtimePlatform: {
          cpuArchitecture: CpuArchitecture.X86_64,
          operatingSystemFamily: OperatingSystemFamily.LINUX,
        },
      }),
    });
    const container = this.container(image, recording, fargate);
    // All that is written is below /tmp. On disk and not in memory, because a film
    // waits there when S3 is away, and memory is counted and ends the task. It is
    // the user's because the image says so (VOLUME), and ECS keeps it for hours
    // after the task has died.
    this.definition.addVolume({ name: "tmp" });
    container.addMountPoints({ sourceVolume: "tmp", containerPath: "/tmp", readOnly: false });
  }

  private container(
    image: ContainerImage,
    recording: RecordingSettings,
    fargate: boolean,
  ): ContainerDefinition {
    const linuxParameters = new LinuxParameters(this, "Linux", {
      initProcessEnabled: true,
      // Fargate does not take it; there /dev/shm is what it is.
      ...(!fargate && { sharedMemorySize: SHARED_MEMORY_MIB }),
    });
    linuxParameters.dropCapabilities(Capability.ALL);
    const container = this.definition.addContainer(worker.containerName, {
      containerName: worker.containerName,
      image,
      essential: true,
      cpu: recording.taskCpu,
      memoryLimitMiB: recording.taskMemoryMiB,
      memoryReservationMiB: recording.taskMemoryMiB,
      // As long as the longest way from a stop to a complete file.
      stopTimeout: Duration.seconds(worker.stopTimeoutSeconds),
      // As the Dockerfile has it.
      user: "10001",
      privileged: false,
      readonlyRootFilesystem: true,
      linuxParameters,
      // The agent does not set it on EC2, and the SDK for Rust does not guess.
      environment: { AWS_REGION: Stack.of(this).region },
      // Told and not acted on: ECS ends an unhealthy task of a service only.
      healthCheck: {
        command: ["CMD", "recorder", "health"],
        interval: Duration.seconds(30),
        timeout: Duration.seconds(10),
        startPeriod: Duration.seconds(120),
        retries: 3,
      },
      logging: LogDriver.awsLogs({ logGroup: this.logGroup, streamPrefix: APPLICATION }),
    });
    container.addUlimits({
      name: UlimitName.NOFILE,
      softLimit: OPEN_FILES,
      hardLimit: OPEN_FILES,
    });
    return container;
  }

  /** A role that ECS takes for tasks of this account only. */
  private role(id: string, description: string): Role {
    const { account, region, partition } = Stack.of(this);
    return new Role(this, id, {
      description: `${APPLICATION}: ${description}`,
      assumedBy: new ServicePrincipal("ecs-tasks.amazonaws.com", {
        conditions: {
          StringEquals: { "aws:SourceAccount": account },
          ArnLike: { "aws:SourceArn": `arn:${partition}:ecs:${region}:${account}:*` },
        },
      }),
    });
  }
}
