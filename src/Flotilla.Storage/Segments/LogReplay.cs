using Flotilla.Raft;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Segments;

/// <summary>
/// Rebuilds what the log knows of its groups from the records of its batches, in order. Answers in words what is wrong
/// where a batch with a sound checksum makes no sense; that is damage from before the checksum, or a bug.
/// </summary>
internal sealed class LogReplay
{
    private readonly Dictionary<GroupId, GroupLog> _groups = [];
    private bool _begun;

    /// <summary>The groups found.</summary>
    public Dictionary<GroupId, GroupLog> Groups => _groups;

    /// <summary>The highest "oldest segment still needed" that any batch names.</summary>
    public ulong Oldest { get; private set; } = 1;

    /// <summary>What the last seal named: the next segment, or 0.</summary>
    public ulong SealedTo { get; private set; }

    /// <summary>Applies a batch. Returns null, or what is wrong with it.</summary>
    public string? Apply(Segment segment, long offset, in BatchHeader header, ReadOnlySpan<byte> records)
    {
        SealedTo = 0;
        var at = offset + BatchHeader.Bytes;
        while (RecordHead.TryTake(ref records, out var record))
        {
            if (ApplyRecord(segment, at, header.Kind, record) is { } wrong)
            {
                return $"{wrong} (record at offset {at})";
            }

            at += record.Length;
        }

        _begun = true;
        return null;
    }

    /// <summary>Once all is read: whether every entry that is not released was found. Returns null, or what is missing.</summary>
    public string? Check()
    {
        foreach (var group in _groups.Values)
        {
            if (group.FirstReadable > group.Released.Next)
            {
                return $"entries {group.Released.Next} to {group.FirstReadable.Previous} of group {group.Id} are missing";
            }
        }

        return null;
    }

    private string? ApplyRecord(Segment segment, long at, BatchKind kind, ReadOnlySpan<byte> record)
    {
        var reader = new RecordReader(record);
        switch (reader.Kind)
        {
            case RecordKind.Entries when kind == BatchKind.Data:
                return ApplyEntries(segment, at, reader, record.Length);

            case RecordKind.HardState when reader.TryReadHardState(out var group, out var state):
                Group(group).HardState = state;
                Noted(group).Commit(state.Commit);
                return null;

            case RecordKind.Identity when reader.TryReadIdentity(out var group, out var identity):
                Group(group).Identity = identity;
                return null;

            case RecordKind.Released when reader.TryReadReleased(out var group, out var through):
                Group(group).Release(through);
                Noted(group).Release(through.Index);
                return null;

            case RecordKind.Reset when kind == BatchKind.Data && reader.TryReadReset(out var group, out var to):
                return ApplyReset(Group(group), to);

            case RecordKind.Forgotten when kind == BatchKind.Data && reader.TryReadForgotten(out var group):
                Group(group).Reset(default);
                _groups.Remove(group);
                return null;

            case RecordKind.Last when kind == BatchKind.Head && reader.TryReadLast(out var group, out var index, out var term):
                return ApplyLast(Group(group), index, term);

            case RecordKind.Oldest when reader.TryReadOldest(out var sequence):
                Oldest = Math.Max(Oldest, sequence);
                return sequence <= segment.Sequence ? null : "it calls a later segment the oldest";

            case RecordKind.Continues when kind == BatchKind.Seal && reader.TryReadContinues(out var sequence, out _):
                SealedTo = sequence;
                return null;

            default:
                return $"a record of kind {(byte)reader.Kind} can't be read: was this log written by a newer version?";
        }
    }

    private string? ApplyEntries(Segment segment, long at, RecordReader reader, int bytes)
    {
        if (!reader.TryReadEntriesHead(out var id, out var first, out var term, out var count))
        {
            return "a record of entries has a malformed head";
        }

        var group = Group(id);
        if (first > group.Last.Next || first <= group.Released)
        {
            return $"entries {first} to {first + (ulong)(count - 1)} of group {id} don't continue its log, which ends at {group.Last} and is released up to {group.Released}";
        }

        var cursor = reader.Entries;
        var noted = Noted(id);
        noted.Truncate(first);
        for (var index = first; cursor.TryNext(); index = index.Next)
        {
            noted.Add(index, term, cursor.Kind, cursor.Payload);
        }

        if (cursor.Left > 0)
        {
            return "a record of entries is shorter than its entries";
        }

        group.Publish(first, count, term, segment, at, bytes);
        return null;
    }

    private string? ApplyReset(GroupLog group, LogBase to)
    {
        if (to.Index < group.Released)
        {
            return $"the log of group {group.Id} is reset to {to}, but was released up to {group.Released}";
        }

        group.Reset(to);
        Noted(group.Id).Reset();
        return null;
    }

    // The head of the first segment that is left tells where each log stood; later heads must agree with what was read.
    private string? ApplyLast(GroupLog group, LogIndex index, Term term)
    {
        if (!_begun)
        {
            group.BeginAt(index, term);
            return null;
        }

        return group.Last == index && group.LastTerm == term ? null
            : $"the log of group {group.Id} ends at {group.Last}/{group.LastTerm}, but this segment was begun when it ended at {index}/{term}";
    }

    private RecoveredEntries Noted(GroupId id) => Group(id).Noted!;

    private GroupLog Group(GroupId id)
    {
        if (!_groups.TryGetValue(id, out var group))
        {
            group = new GroupLog(id) { Noted = new RecoveredEntries() };
            _groups.Add(id, group);
        }

        return group;
    }
}
