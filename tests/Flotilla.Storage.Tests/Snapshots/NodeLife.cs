using Flotilla.Raft;
using Flotilla.Storage.Snapshots;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests.Snapshots;

/// <summary>
/// What a node does with its disk, at random: appends, takes snapshots and releases the log behind them, receives snapshots
/// and resets the log behind those, over several groups. All groups share one truth: the entry at an index, and the state
/// up to it, are functions of group and index. Now and then entries are appended that never commit.
/// </summary>
internal sealed class NodeLife(SimulatedDisk disk, Wal wal, SnapshotStore store, Promises promises)
{
    private readonly Dictionary<GroupId, GroupLife> _groups = [];

    /// <summary>The entry that is committed at an index.</summary>
    public static Entry Truth(GroupId group, LogIndex index)
    {
        var random = new SplitMix64(group.Value ^ (index.Value * 31));
        var payload = new byte[random.Below(90)];
        foreach (ref var value in payload.AsSpan())
        {
            value = (byte)random.Next();
        }

        return new Entry(index, TermOf(index), EntryKind.Command, payload);
    }

    /// <summary>The blocks of a snapshot at an index.</summary>
    public static byte[][] State(GroupId group, LogIndex index) => Small.Blocks(group.Value ^ index.Value, 1 + (int)(index.Value % 7), 300);

    public static Term TermOf(LogIndex index) => index == LogIndex.Zero ? Term.Zero : new Term(2 + (index.Value / 16 * 2));

    /// <summary>
    /// What Raft does at a start: the log is reset to a snapshot whose last entry it does not hold, since a crash came between
    /// that snapshot and the reset.
    /// </summary>
    public static void Settle(Wal wal, SnapshotStore store)
    {
        foreach (var group in wal.Groups.Union(store.Groups).OrderBy(static g => g.Value).ToArray())
        {
            var recovered = store.Recover(group, wal.Recovered(group));
            if (recovered.Snapshot is { } snapshot && !Holds(recovered, snapshot))
            {
                wal.Append(group, new Effect.Persist(default, null, null, [], true, new LogBase(snapshot.Index, snapshot.Term)));
            }
        }

        wal.Sync();
    }

    /// <summary>Whether a log holds a snapshot's last entry, or begins behind it.</summary>
    public static bool Holds(RaftRecovery recovered, SnapshotMeta snapshot) =>
        snapshot.Index == recovered.Base.Index
        || (snapshot.Index <= recovered.LastIndex && recovered.TermStarts.Last(t => t.First <= snapshot.Index).Term == snapshot.Term);

    /// <summary>Learns where the groups are after a start.</summary>
    public void Begin()
    {
        foreach (var group in Workload.Groups)
        {
            var recovered = wal.Recovered(group);
            _groups[group] = new GroupLife { Last = recovered.LastIndex, True = LogIndex.Max(promises.Of(group).Entries, store.Latest(group)?.Index ?? default) };
            promises.Of(group).Entries = _groups[group].True;
        }
    }

    /// <summary>One random deed. Throws <see cref="IOException"/> if it ends this life.</summary>
    public void Act(ref SplitMix64 random)
    {
        var group = Workload.Groups[random.Below(Workload.Groups.Length)];
        var life = _groups[group];
        switch (random.Below(12))
        {
            case < 4:
                Append(group, life, ref random);
                break;
            case 4:
                AppendInVain(group, life, ref random);
                break;
            case < 7:
                Survive(ref random, (ref SplitMix64 r) => GoOnWriting(group, life, ref r));
                break;
            case < 10:
                Survive(ref random, (ref SplitMix64 r) => GoOnReceiving(group, life, ref r));
                break;
            case 10:
                wal.PrepareSpare();
                break;
            default:
                store.Retire(group);
                break;
        }

        if (random.Chance(0.6))
        {
            Sync();
        }
    }

    private void Append(GroupId group, GroupLife life, ref SplitMix64 random)
    {
        var entries = new Entry[1 + random.Below(6)];
        for (var i = 0; i < entries.Length; i++)
        {
            entries[i] = Truth(group, life.True + (ulong)(i + 1));
        }

        wal.Append(group, Workload.Persist(entries));
        life.True = life.Last = entries[^1].Index;
    }

    private void AppendInVain(GroupId group, GroupLife life, ref SplitMix64 random)
    {
        var entries = Workload.Entries(life.Last.Next.Value, 1 + (2 * (ulong)random.Below(50)), 1 + (int)random.Below(8), 20);
        wal.Append(group, Workload.Persist(entries));
        life.Last = entries[^1].Index;
    }

    // A snapshot takes several deeds, so that others, and the loss of power, fall between its parts.
    private void GoOnWriting(GroupId group, GroupLife life, ref SplitMix64 random)
    {
        if (life.Writer is null)
        {
            if (life.True == LogIndex.Zero)
            {
                return;
            }

            life.WrittenIndex = new LogIndex(life.True.Value - Math.Min(life.True.Value - 1, (ulong)random.Below(4)));
            life.Blocks = new Queue<byte[]>(State(group, life.WrittenIndex));
            life.Writer = store.Create(group, life.WrittenIndex, TermOf(life.WrittenIndex));
        }

        if (random.Chance(0.05))
        {
            life.DropWriter();
            return;
        }

        for (var blocks = random.Below(4); blocks > 0 && life.Blocks.Count > 0; blocks--)
        {
            life.Writer.Append(life.Blocks.Dequeue());
        }

        if (life.Blocks.Count == 0)
        {
            var info = life.Writer.Complete();
            life.DropWriter();
            promises.Snapshot(info);
            var tail = (ulong)random.Below(6);
            if (info.Index.Value > tail)
            {
                // Nothing waits for a snapshot of this index only: entries are released as far as it reaches.
                wal.Release(group, new LogIndex(info.Index.Value - tail));
            }
        }
    }

    private void GoOnReceiving(GroupId group, GroupLife life, ref SplitMix64 random)
    {
        if (life.Source is null)
        {
            var index = life.True + (1 + (ulong)random.Below(20));
            var peer = Small.Open(new SimulatedDisk(), seed: random.Next());
            life.Source = peer.OpenSource(Small.Write(peer, index.Value, State(group, index), TermOf(index).Value, group));
        }

        life.Receiver ??= Small.Receive(store, life.Source.Info);
        Small.Send(life.Source, life.Receiver, chunkBytes: 256, chunks: (int)random.Below(6));
        if (life.Source.Info.Index <= life.True)
        {
            // The entries came by themselves meanwhile.
            life.Receiver.Abandon();
            life.DropTransfer();
        }
        else if (random.Chance(0.1))
        {
            life.Receiver.Dispose();
            life.Receiver = null;
        }
        else if (life.Receiver.IsWhole)
        {
            var info = life.Receiver.Complete();
            life.DropTransfer();
            promises.Snapshot(info);
            if (random.Chance(0.3))
            {
                store.Retire(group);
            }

            Install(group, life, info, ref random);
        }
    }

    private void Install(GroupId group, GroupLife life, SnapshotInfo info, ref SplitMix64 random)
    {
        // A snapshot of before the reset must not be released behind afterwards, nor is it needed.
        life.DropWriter();
        var entries = random.Chance(0.5) ? [] : new[] { Truth(group, info.Index.Next) };
        wal.Append(group, new Effect.Persist(default, null, null, entries, true, new LogBase(info.Index, info.Term)));
        life.True = life.Last = info.Index + (ulong)entries.Length;
    }

    private void Sync()
    {
        wal.Sync();
        foreach (var (group, life) in _groups)
        {
            promises.Of(group).Entries = life.True;
        }
    }

    private delegate void Deed(ref SplitMix64 random);

    // Sometimes the disk refuses a part of a snapshot: that costs the snapshot, and life goes on.
    private void Survive(ref SplitMix64 random, Deed deed)
    {
        var operation = (DiskOperation)random.Below(6);
        var fails = random.Chance(0.1);
        if (fails)
        {
            disk.Fail(operation);
        }

        try
        {
            deed(ref random);
        }
        catch (IOException e) when (e is not PowerOffException && e.Message.StartsWith("Simulated failure", StringComparison.Ordinal))
        {
            foreach (var life in _groups.Values)
            {
                life.DropIfEnded();
            }
        }

        disk.Fail(operation, 0);
    }

    private sealed class GroupLife
    {
        public LogIndex Last { get; set; }

        /// <summary>Up to here the log, and what was before it, is the truth.</summary>
        public LogIndex True { get; set; }

        public SnapshotWriter? Writer { get; set; }

        public LogIndex WrittenIndex { get; set; }

        public Queue<byte[]> Blocks { get; set; } = [];

        public SnapshotSource? Source { get; set; }

        public SnapshotReceiver? Receiver { get; set; }

        public void DropWriter()
        {
            Writer?.Dispose();
            Writer = null;
        }

        public void DropTransfer()
        {
            Receiver = null;
            Source?.Dispose();
            Source = null;
        }

        /// <summary>After a failure: nothing that failed is gone on with.</summary>
        public void DropIfEnded()
        {
            DropWriter();
            Receiver?.Dispose();
            Receiver = null;
        }
    }
}

/// <summary>What a disk has promised to keep.</summary>
internal sealed class Promises
{
    private readonly Dictionary<GroupId, GroupPromise> _groups = [];

    public GroupPromise Of(GroupId group)
    {
        if (!_groups.TryGetValue(group, out var promise))
        {
            _groups.Add(group, promise = new GroupPromise());
        }

        return promise;
    }

    public void Snapshot(SnapshotInfo info) => Of(info.Group).Snapshot = LogIndex.Max(Of(info.Group).Snapshot, info.Index);

    internal sealed class GroupPromise
    {
        /// <summary>Entries up to here were synced, or are in a snapshot that was completed.</summary>
        public LogIndex Entries { get; set; }

        /// <summary>A snapshot of this index was completed.</summary>
        public LogIndex Snapshot { get; set; }
    }
}
