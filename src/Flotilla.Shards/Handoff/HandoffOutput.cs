using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards.Handoff;

/// <summary>What one step of a <see cref="HandoffDriver"/> wants done.</summary>
public sealed class HandoffOutput
{
    /// <summary>To be proposed in the shard's own log, in this order; whether they are accepted is not reported.</summary>
    public List<HandoffStep> Steps { get; } = [];

    /// <summary>To be sent to the leader of a shard's group, in this order; no matter if they get lost.</summary>
    public List<(ShardId Shard, GroupId Group, HandoffMessage Message)> Messages { get; } = [];

    /// <summary>Bytes to be taken off the allowance: of chunks among the messages, and what a purge among the steps costs as if it were bytes.</summary>
    public long Spent { get; internal set; }

    /// <summary>Empties it for the next step.</summary>
    public void Clear()
    {
        Steps.Clear();
        Messages.Clear();
        Spent = 0;
    }
}

/// <summary>How far the source's leader has come with a move.</summary>
public enum HandoffStage : byte
{
    /// <summary>The target has not answered this attempt yet.</summary>
    Offering,

    /// <summary>Looks for slots that differ from what an earlier attempt staged.</summary>
    Comparing,

    /// <summary>Sends slots whole.</summary>
    Copying,

    /// <summary>Sends what has changed meanwhile.</summary>
    CatchingUp,

    /// <summary>Waits for the target's promise.</summary>
    Preparing,

    /// <summary>Waits for its own Freeze.</summary>
    Freezing,

    /// <summary>The slots are frozen; sends the last changes and the sessions.</summary>
    Finishing,

    /// <summary>Waits for the target's decision.</summary>
    Deciding,

    /// <summary>It is decided; tells the target so.</summary>
    Ending,
}

/// <summary>A move as its source's leader sees it, for status pages and metrics.</summary>
/// <param name="Id">The move.</param>
/// <param name="Target">Who is to have the slots.</param>
/// <param name="Slots">How many they are; 0 once it is decided.</param>
/// <param name="Stage">How far it is.</param>
/// <param name="Attempt">The attempt.</param>
/// <param name="Looked">Records looked at in the first pass of this attempt.</param>
/// <param name="ToLook">Records to be looked at in it.</param>
/// <param name="BytesSent">Bytes of chunks, repetitions aside.</param>
/// <param name="Rounds">Rounds of catching up.</param>
/// <param name="Unacknowledged">Chunks on their way.</param>
/// <param name="FrozenMs">For how long the slots have been frozen, as far as this leader has seen; 0 if they are not.</param>
/// <param name="TargetSays">The target's last word.</param>
/// <param name="RecordsSent">Records sent by this leader, those that were sent to be gone among them; one that changed again counts again.</param>
public readonly record struct HandoffProgress(
    HandoffId Id, ShardId Target, int Slots, HandoffStage Stage, Attempt Attempt, long Looked, long ToLook, long BytesSent, int Rounds, int Unacknowledged, double FrozenMs, TargetState TargetSays, long RecordsSent);
