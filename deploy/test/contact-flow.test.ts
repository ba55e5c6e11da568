/** The contact flows that a deployer imports: whole, and with the two attributes (S117). */
import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

interface Transition {
  readonly NextAction: string;
}

interface Action {
  readonly Identifier: string;
  readonly Type: string;
  readonly Parameters: Readonly<Record<string, unknown>>;
  readonly Transitions: {
    readonly NextAction?: string;
    readonly Errors?: readonly Transition[];
    readonly Conditions?: readonly Transition[];
  };
}

interface Flow {
  readonly Version: string;
  readonly StartAction: string;
  readonly Metadata: {
    readonly name: string;
    readonly type: string;
    readonly ActionMetadata: Readonly<Record<string, unknown>>;
  };
  readonly Actions: readonly Action[];
}

function flow(name: string): Flow {
  const file = new URL(`../contact-flows/${name}.json`, import.meta.url);
  const found: Flow = JSON.parse(readFileSync(file, "utf8"));
  return found;
}

function nextOf({ Transitions }: Action): readonly string[] {
  const { NextAction, Errors = [], Conditions = [] } = Transitions;
  const others = [...Errors, ...Conditions].map((one) => one.NextAction);
  return NextAction === undefined ? others : [NextAction, ...others];
}

const ENDS = ["DisconnectParticipant", "EndFlowExecution"];

describe.each([
  ["VideoCallEscalationChat", "contactFlow"],
  ["VideoCallEscalationQueue", "customerQueue"],
])("%s", (name, type) => {
  const { Version, StartAction, Metadata, Actions } = flow(name);
  const identifiers = Actions.map(({ Identifier }) => Identifier);

  test("is a flow that can be imported under its name", () => {
    expect(Version).toBe("2019-10-30");
    expect(Metadata).toMatchObject({ name, type });
    expect(Object.keys(Metadata.ActionMetadata).sort()).toEqual([...identifiers].sort());
    expect(new Set(identifiers).size).toBe(identifiers.length);
  });

  test("leads from its start to every action, and to none that is not there", () => {
    const reached = new Set([StartAction]);
    for (const identifier of reached) {
      const action = Actions.find(({ Identifier }) => Identifier === identifier);
      expect(action, identifier).toBeDefined();
      if (action !== undefined) for (const next of nextOf(action)) reached.add(next);
    }
    expect([...reached].sort()).toEqual([...identifiers].sort());
  });

  test("ends only where a flow may end", () => {
    for (const action of Actions) {
      if (ENDS.includes(action.Type)) expect(action.Transitions).toEqual({});
      else expect(nextOf(action).length, action.Identifier).toBeGreaterThan(0);
    }
  });
});

describe("VideoCallEscalationChat", () => {
  const { Actions } = flow("VideoCallEscalationChat");
  const only = (type: string): Action => {
    const found = Actions.filter(({ Type }) => Type === type);
    expect(found).toHaveLength(1);
    const [action] = found;
    if (action === undefined) throw new Error(`there is no ${type}`);
    return action;
  };

  test("S117: one block has both attributes, and both are false", () => {
    expect(only("UpdateContactAttributes").Parameters).toEqual({
      Attributes: {
        videoRecordingAutoStartEnabled: "false",
        videoRecordingStartStopEnabled: "false",
      },
      TargetContact: "Current",
    });
  });

  test("S118: a chat goes to the agent that it asks for", () => {
    const agent = only("UpdateContactTargetQueue");
    expect(agent.Parameters).toEqual({ AgentId: "$.Attributes.videoRouteToAgent" });
    expect(agent.Transitions.NextAction).toBe(only("TransferContactToQueue").Identifier);
  });

  test("waits in VideoCallEscalationQueue, which the import finds by its name", () => {
    const { Identifier } = only("UpdateContactEventHooks");
    const { Metadata } = flow("VideoCallEscalationChat");
    expect(JSON.stringify(Metadata.ActionMetadata[Identifier])).toContain(
      '"displayName":"VideoCallEscalationQueue"',
    );
  });
});
