/** Who agents are, where there is no user pool yet to attach to. */
import { NestedStack } from "aws-cdk-lib";
import type { Construct } from "constructs";
import { AgentIdentity, type IdentityProps } from "./constructs/identity";

export class IdentityStack extends NestedStack {
  readonly identity: AgentIdentity;

  constructor(scope: Construct, id: string, props: IdentityProps) {
    super(scope, id, { description: "Video call recording: users" });
    this.identity = new AgentIdentity(this, "Cognito", props);
  }
}
