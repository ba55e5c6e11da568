/**
 * What records: bucket, cluster, task, and the Lambdas that look after tasks. It
 * must not know the API.
 */
import { ArnFormat, Duration, NestedStack } from "aws-cdk-lib";
import { CfnCluster } from "aws-cdk-lib/aws-ecs";
import { Rule, Schedule, type EventPattern } from "aws-cdk-lib/aws-events";
import type { Construct } from "constructs";
import { LONGEST_TIMEOUT, RustFunction } from "./constructs/function";
import { RecordingStorage } from "./constructs/storage";
import { RecordingTask } from "./constructs/task";
import { CLUSTER } from "./names";
import { RecordingComputeStack, type Compute } from "./recording-compute-stack";
import type { Things } from "./rights";
import type { RecordingSettings, Settings } from "./settings";
import { isEmulated, recorderImage } from "./sources";
import worker from "./worker.json";

export interface RecordingProps {
  readonly settings: Settings;
  readonly recording: RecordingSettings;
  readonly tableName: string;
  readonly tableArn: string;
}

export class RecordingStack extends NestedStack {
  readonly bucketName: string;
  readonly clusterArn: string;
  readonly task: RecordingTask;
  /** None in an emulator. */
  readonly compute?: Compute;
  readonly functions: readonly RustFunction[];
  /** All that a right may be about here. */
  readonly things: Things;

  constructor(scope: Construct, id: string, props: RecordingProps) {
    super(scope, id, { description: "Video call recording: bucket, cluster, task" });
    const { recording, settings } = props;
    const { existing } = recording;
    this.bucketName =
      existing.bucketName ??
      new RecordingStorage(this, "recordingBucket", {
        retentionDays: recording.retentionDays,
        allowedOrigins: settings.agentApiAllowedOrigins,
        kmsKeyArn: existing.kmsKeyArn,
      }).bucketName;
    const cluster = new CfnCluster(this, "recordingECSCluster", {
      clusterName: CLUSTER,
      clusterSettings: [{ name: "containerInsights", value: "enabled" }],
    });
    this.clusterArn = cluster.attrArn;
    const stored: Things = {
      tableArn: props.tableArn,
      bucketName: this.bucketName,
      bucketKeyArn: existing.kmsKeyArn,
    };
    this.task = new RecordingTask(this, "Task", {
      image: recorderImage(this),
      recording,
      things: stored,
    });
    const { definition } = this.task;
    this.things = {
      ...stored,
      taskDefinitionArn: definition.taskDefinitionArn,
      taskRoleArns: [
        definition.obtainExecutionRole().roleArn,
        definition.taskRole.roleArn,
      ],
    };
    if (!isEmulated(this)) this.compute = this.makeCompute(cluster, recording);
    this.functions = [
      ...(recording.launchType === "EC2" ? [this.preWarm()] : []),
      ...this.repairs(props.tableName),
    ];
  }

  private makeCompute(cluster: CfnCluster, recording: RecordingSettings): Compute {
    const compute = new RecordingComputeStack(this, "RecordingCompute", {
      clusterName: CLUSTER,
      clusterArn: this.formatArn({
        service: "ecs",
        resource: "cluster",
        resourceName: CLUSTER,
        arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
      }),
      recording,
    });
    // It is named and not referred to.
    compute.node.addDependency(cluster);
    return compute;
  }

  /** Each new instance gets the image before anybody waits for it. */
  private preWarm(): RustFunction {
    const preWarm = new RustFunction(this, "startRecordingPreWarmTaskLambda", {
      artefact: "start-pre-warm",
      name: "StartRecordingPreWarmTaskLambda",
      description: "Has a new instance of the recording cluster pull the image",
      environment: {
        ECS_CLUSTER_ARN: this.clusterArn,
        ECS_CONTAINER_NAME: worker.containerName,
        ECS_TASK_DEFINITION_ARN: this.task.definition.taskDefinitionArn,
      },
      things: this.things,
      events: true,
    });
    // Not EC2's word of the launch: tasks are taken only once the agent is connected.
    preWarm.calledBy(
      this.rule("containerInstanceRule", {
        detailType: ["ECS Container Instance State Change"],
        detail: { clusterArn: [this.clusterArn], agentConnected: [true] },
      }),
    );
    return preWarm;
  }

  /** They see to it that every recording has an end that is written down. */
  private repairs(tableName: string): RustFunction[] {
    const common = {
      timeout: LONGEST_TIMEOUT,
      environment: {
        DDB_TABLE: tableName,
        ECS_CLUSTER_ARN: this.clusterArn,
        RECORDING_BUCKET_NAME: this.bucketName,
      },
      things: this.things,
      events: true,
    };
    const taskState = new RustFunction(this, "recordingTaskStateLambda", {
      ...common,
      artefact: "recording-task-state",
      name: "RecordingTaskStateLambda",
      description: "Settles a recording when its task is dead",
    });
    taskState.calledBy(
      this.rule("taskStateRule", {
        detailType: ["ECS Task State Change"],
        // That a task runs is noted, too.
        detail: { clusterArn: [this.clusterArn], lastStatus: ["RUNNING", "STOPPED"] },
      }),
    );
    const sweeper = new RustFunction(this, "recordingSweeperLambda", {
      ...common,
      artefact: "recording-sweeper",
      name: "RecordingSweeperLambda",
      description: "Repairs what no event told of",
    });
    sweeper.calledBy(
      new Rule(this, "sweeperRule", {
        schedule: Schedule.rate(Duration.minutes(worker.sweeperMinutes)),
      }),
    );
    return [taskState, sweeper];
  }

  private rule(id: string, pattern: Omit<EventPattern, "source">): Rule {
    return new Rule(this, id, { eventPattern: { source: ["aws.ecs"], ...pattern } });
  }
}
