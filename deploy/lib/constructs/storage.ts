/**
 * Where recordings are kept: encrypted, private, and longer than the stack that made
 * them. It must not know who records.
 */
import { Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import { Key } from "aws-cdk-lib/aws-kms";
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  HttpMethods,
  ObjectOwnership,
  type LifecycleRule,
} from "aws-cdk-lib/aws-s3";
import { Construct } from "constructs";
import { APPLICATION, RECORDINGS_PREFIX } from "../names";
import worker from "../worker.json";

/** How long it is kept who has read what. */
const ACCESS_LOG_DAYS = 365;

export interface StorageProps {
  /** 0 keeps recordings for ever. */
  readonly retentionDays: number;
  /** Pages that may load what is beside a recording: its chapters. */
  readonly allowedOrigins: readonly string[];
  /** A key of the customer's own; without it the account's key for S3. */
  readonly kmsKeyArn?: string | undefined;
}

export class RecordingStorage extends Construct {
  readonly bucketName: string;

  constructor(scope: Construct, id: string, props: StorageProps) {
    super(scope, id);
    const { kmsKeyArn } = props;
    const common = {
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      // Kept when the stack goes, but not when its creation fails: the name is fixed,
      // and the next creation would meet it.
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    };
    const log = new Bucket(this, "AccessLog", {
      ...common,
      // S3 writes its own logs under no other encryption.
      encryption: BucketEncryption.S3_MANAGED,
      lifecycleRules: [{ expiration: Duration.days(ACCESS_LOG_DAYS) }],
    });
    this.bucketName = bucketName(Stack.of(this));
    new Bucket(this, "Bucket", {
      ...common,
      bucketName: this.bucketName,
      ...(kmsKeyArn === undefined
        ? { encryption: BucketEncryption.KMS_MANAGED }
        : {
            encryption: BucketEncryption.KMS,
            encryptionKey: Key.fromKeyArn(this, "Key", kmsKeyArn),
          }),
      // One call of KMS for many parts.
      bucketKeyEnabled: true,
      serverAccessLogsBucket: log,
      lifecycleRules: lifecycle(props.retentionDays),
      cors: [
        {
          allowedMethods: [HttpMethods.GET, HttpMethods.HEAD],
          allowedOrigins: [...props.allowedOrigins],
          allowedHeaders: ["*"],
        },
      ],
    });
  }
}

function bucketName({ account, region }: Stack): string {
  return `${APPLICATION.toLowerCase()}-recordingbucket-${account}-${region}`;
}

function lifecycle(retentionDays: number): LifecycleRule[] {
  const rules: LifecycleRule[] = [
    {
      id: "IncompleteUploads",
      // Until then an upload that nobody completed can be made a recording.
      abortIncompleteMultipartUploadAfter: Duration.days(worker.uploadAgeDays),
    },
  ];
  if (retentionDays > 0) {
    rules.push({
      id: "Retention",
      prefix: RECORDINGS_PREFIX,
      expiration: Duration.days(retentionDays),
    });
  }
  return rules;
}
