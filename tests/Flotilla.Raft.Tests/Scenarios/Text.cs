using System.Globalization;
using System.Text;
using Flotilla.Raft.Membership;

namespace Flotilla.Raft.Tests.Scenarios;

/// <summary>How messages and effects read in a transcript.</summary>
internal static class Text
{
    public static string Of(Message message) => message switch
    {
        RequestVote m => $"{(m.PreVote ? "PreVote" : "RequestVote")} {m.Term} last={m.LastLogIndex}/{m.LastLogTerm}{(m.Transfer ? " transfer" : "")}",
        RequestVoteReply m => $"{(m.PreVote ? "PreVoteReply" : "RequestVoteReply")} {m.Term} {(m.Granted ? "granted" : "refused")}",
        AppendEntries m => $"AppendEntries {m.Term} prev={m.PrevLogIndex}/{m.PrevLogTerm} [{Of(m.Entries)}] commit={m.LeaderCommit} round={m.Round}{(m.Leader.IsNone ? "" : $" of {m.Leader}")}{(m.Route.Count > 0 ? $" then {string.Join(' ', m.Route)}" : "")}",
        AppendEntriesReply { Success: true } m => $"AppendEntriesReply {m.Term} match={m.MatchIndex} round={m.Round}{(m.NoRoom ? " no room" : "")}",
        AppendEntriesReply m => $"AppendEntriesReply {m.Term} refused={m.RejectedIndex} try={m.ConflictIndex}/{m.ConflictTerm} round={m.Round}{(m.NoRoom ? " no room" : "")}",
        InstallSnapshot m => $"InstallSnapshot {m.Term} {m.Snapshot} bytes {m.Offset}+{m.Data.Length} of {m.Snapshot.Bytes}",
        InstallSnapshotReply m => $"InstallSnapshotReply {m.Term} next={m.NextOffset} match={m.MatchIndex}",
        NotMember m => $"NotMember {m.Term} as of {m.ConfigurationIndex}",
        TimeoutNow m => $"TimeoutNow {m.Term}",
        ReadIndexRequest m => $"ReadIndex {m.Term}",
        ReadIndexReply m => $"ReadIndexReply {m.Term} {(m.Ok ? $"index={m.Index}" : "refused")}",
        GoQuiet m => $"GoQuiet {m.Term} at {m.Index} boot={m.Boot} question={m.Question}",
        GoQuietReply m => $"GoQuietReply {m.Term} {(m.Agrees ? $"agrees to {m.Question}" : m.Question > 0 ? $"refuses {m.Question}" : "awake")}",
        EmptyRequest => "Empty?",
        EmptyReply m => $"EmptyReply {(m.Empty ? "empty" : "not empty")}{(m.Begun ? " begun" : "")} stored={m.Stored}",
        _ => message.ToString(),
    };

    public static string Of(IReadOnlyList<Entry> entries)
    {
        var text = new StringBuilder();
        for (var i = 0; i < entries.Count; i++)
        {
            if (i == 5 && entries.Count > 6)
            {
                return text.Append(CultureInfo.InvariantCulture, $" … {Of(entries[^1])}").ToString();
            }

            text.Append(i == 0 ? "" : " ").Append(Of(entries[i]));
        }

        return text.ToString();
    }

    public static string Of(Entry entry) =>
        entry.Kind == EntryKind.Configuration ? $"{entry.Index}/{entry.Term}:{{{ConfigurationCodec.Decode(entry.Payload.Span)}}}" :
        $"{entry.Index}/{entry.Term}{(entry.Kind == EntryKind.NoOp ? "" : ":" + (entry.Payload.Length > 16 ? $"{entry.Payload.Length}B" : Encoding.UTF8.GetString(entry.Payload.Span)))}";

    public static string Of(Effect.Persist persist)
    {
        var parts = new List<string> { $"persist {persist.Sequence}" };
        if (persist.HardState is { } state)
        {
            parts.Add(state.ToString());
        }

        if (persist.Identity is { } identity)
        {
            parts.Add($"{(identity.Admitted ? "admitted" : "not admitted")} knows {string.Join(' ', identity.Known.Select(k => $"{k.Peer}={k.Incarnation}{(k.ToldEmpty ? "(told empty)" : "")}"))}");
        }

        if (persist.ResetTo is { } reset)
        {
            parts.Add($"reset to {reset}");
        }

        if (persist.Entries.Count > 0)
        {
            parts.Add($"[{Of(persist.Entries)}]");
        }

        return string.Join(' ', parts) + (persist.MustSync ? "" : " (no sync)");
    }
}
