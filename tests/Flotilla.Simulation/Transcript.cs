using System.Globalization;
using System.Text;
using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Simulation.Time;

namespace Flotilla.Simulation;

/// <summary>What happened, line by line, for people and for the test that a seed repeats itself. Off, it costs nothing.</summary>
public sealed class Transcript(TextWriter? writer, Scheduler scheduler)
{
    /// <summary>Somebody listens: lines should be made.</summary>
    public bool On => writer is not null;

    /// <summary>Writes a line, stamped with the virtual time. Ask <see cref="On"/> before making one.</summary>
    public void Line(string text) => writer?.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{scheduler.NowUs / 1e6,10:F6} {text}"));

    /// <summary>A message in few words.</summary>
    public static string Describe(Message message) => message switch
    {
        AppendEntries m => $"append {m.Term} after {m.PrevLogIndex}/{m.PrevLogTerm} +{m.Entries.Count} commit {m.LeaderCommit} round {m.Round}",
        AppendEntriesReply m => m.Success ? $"appended {m.Term} match {m.MatchIndex} round {m.Round}{(m.NoRoom ? " no room" : "")}" : $"refused {m.Term} at {m.RejectedIndex}, try {m.ConflictIndex}/{m.ConflictTerm}",
        InstallSnapshot m => $"install {m.Term} snapshot {m.Snapshot} {m.Offset}+{m.Data.Length} of {m.Snapshot.Bytes}",
        InstallSnapshotReply m => $"installed {m.Term} next {m.NextOffset} match {m.MatchIndex}",
        RequestVote m => $"{(m.PreVote ? "pre-vote" : "vote")}? {m.Term} last {m.LastLogIndex}/{m.LastLogTerm}{(m.Transfer ? " transfer" : "")}",
        RequestVoteReply m => $"{(m.PreVote ? "pre-vote" : "vote")} {m.Term} {(m.Granted ? "granted" : "refused")}",
        _ => message.ToString(),
    };

    /// <summary>A message about a move in few words.</summary>
    public static string Describe(HandoffMessage message) => message switch
    {
        HandoffMessage.Offer m => $"offer {m.Id} {m.Attempt} of {m.Slots.Count} slots",
        HandoffMessage.Data m => $"data {m.Id} {m.Attempt} chunk {m.Number} of {m.Items.Length} bytes",
        HandoffMessage.Ready m => $"ready? {m.Id} {m.Attempt}",
        HandoffMessage.Decide m => $"decide! {m.Id} {m.Attempt} after {m.Chunks} chunks",
        HandoffMessage.GiveUp m => $"give up? {m.Id}",
        HandoffMessage.Over m => $"over {m.Id} floor {m.Floor}",
        HandoffMessage.Answer m => $"is {m.State} {m.Id} {m.Attempt} chunks {m.Chunks}",
        _ => message.ToString(),
    };

    /// <summary>A step in few words.</summary>
    public static string Describe(HandoffStep step) => step switch
    {
        HandoffStep.Begin s => $"Begin to shard {s.TargetShard} of {s.Slots.Count} slots",
        HandoffStep.Open s => $"Open {s.Id} {s.Attempt} of {s.Slots.Count} slots",
        HandoffStep.Stage s => $"Stage {s.Id} {s.Attempt} {s.Number}",
        HandoffStep.Purge s => $"Purge {s.Walk}",
        _ => step.ToString(),
    };

    /// <summary>A persist in few words.</summary>
    public static string Describe(Effect.Persist persist)
    {
        var text = new StringBuilder($"persist {persist.Sequence}");
        if (persist.HardState is { } hard)
        {
            text.Append($" {hard}");
        }

        if (persist.Identity is not null)
        {
            text.Append(" identity");
        }

        if (persist.Entries.Count > 0)
        {
            text.Append($" entries {persist.Entries[0]}..{persist.Entries[^1]}");
        }

        return text.Append(persist.MustSync ? "" : " (lazy)").ToString();
    }
}
