using Flotilla.Raft.Quiet;

namespace Flotilla.Raft.Tests.Scenarios;

/// <summary>One node of a scenario: a Raft, its clock, and a disk that keeps what was synced and forgets the rest at a crash.</summary>
internal sealed class Host(NodeId id, IReadOnlyList<NodeId> voters, ScenarioWorld world)
{
    private readonly List<Effect.Persist> _unsynced = [];
    private readonly List<Effect.Send> _waiting = [];
    private ulong _synced;

    public NodeId Id { get; } = id;

    public Incarnation Incarnation { get; set; }

    public RaftOptions Options { get; set; } = new();

    public Raft? Raft { get; private set; }

    public Instant Now { get; private set; } = new(1_000_000);

    /// <summary>Node heartbeats stand in for those of quiet groups.</summary>
    public bool HasNodeHeartbeats { get; set; }

    public ulong Boot { get; private set; }

    public bool DiskHeld { get; set; }

    public bool DiskUnreadable { get; set; }

    public HardState HardState { get; set; }

    public IdentityState Identity { get; set; } = IdentityState.Empty;

    public List<Entry> Disk { get; } = [];

    public LogBase DiskBase { get; private set; }

    /// <summary>The newest snapshot on the disk.</summary>
    public SnapshotMeta? Snapshot { get; private set; }

    /// <summary>The snapshot does not verify at whoever receives it.</summary>
    public bool SnapshotDamaged { get; set; }

    public List<string> Applied { get; } = [];

    public LogIndex AppliedIndex { get; private set; }

    public void Start(ulong seed)
    {
        var runs = new List<(LogIndex, Term)>();
        foreach (var entry in Disk)
        {
            if (runs.Count == 0 || runs[^1].Item2 != entry.Term)
            {
                runs.Add((entry.Index, entry.Term));
            }
        }

        _synced = 0;
        AppliedIndex = default;
        Applied.Clear();
        if (Snapshot is { } snapshot)
        {
            Load(snapshot);
        }

        var uncommitted = Disk.Where(entry => entry.Index > HardState.Commit).Sum(entry => (long)entry.Cost);
        var recovery = new RaftRecovery(HardState, Identity, Disk.Count == 0 ? DiskBase.Index : Disk[^1].Index, runs, DiskBase, uncommitted,
            [.. Disk.Where(entry => entry.Kind == EntryKind.Configuration)], Snapshot, Snapshot is null ? null : world.ConfigurationOf(Snapshot));
        Raft = new Raft(Id, Incarnation, voters, Options, recovery, seed, Now);
        Boot++;
        Raft.Pulse = HasNodeHeartbeats ? new Pulse(Incarnation, Boot, 0) : default;
    }

    /// <summary>Stops the process. What was not synced is lost.</summary>
    public void Crash()
    {
        Raft = null;
        _unsynced.Clear();
        _waiting.Clear();
        DiskHeld = false;
    }

    /// <summary>Takes a snapshot of what is applied; it is durable at once.</summary>
    public void TakeSnapshot(long bytes)
    {
        Snapshot = world.AddSnapshot(AppliedIndex, Raft!.Log.TermAt(AppliedIndex)!.Value, bytes, Applied, Raft.ConfigurationAt(AppliedIndex));
        SnapshotDamaged = false;
        Raft.SnapshotTaken(Snapshot, Now);
    }

    public void Wipe(Incarnation incarnation)
    {
        Disk.Clear();
        DiskBase = default;
        Snapshot = null;
        HardState = default;
        Identity = IdentityState.Empty;
        Incarnation = incarnation;
    }

    public void Advance(double ms)
    {
        Now = Now.PlusMs(ms);
        Raft?.Tick(Now);
    }

    /// <summary>Carries out effects until none are left; syncs at once unless the disk is held.</summary>
    public void Pump()
    {
        while (Raft?.TakeEffects() is { Count: > 0 } effects)
        {
            foreach (var effect in effects.ToArray())
            {
                Carry(effect);
            }

            if (!DiskHeld)
            {
                Sync(ulong.MaxValue);
            }
        }
    }

    /// <summary>The disk completes persists up to <paramref name="sequence"/>, and sends what waited for them.</summary>
    public void Sync(ulong sequence)
    {
        var done = _synced;
        while (_unsynced.Count > 0 && _unsynced[0].Sequence.Value <= sequence)
        {
            Store(_unsynced[0]);
            done = _unsynced[0].Sequence.Value;
            _unsynced.RemoveAt(0);
        }

        if (done == _synced)
        {
            return;
        }

        _synced = done;
        foreach (var send in _waiting.Where(send => send.After.Value <= done).ToArray())
        {
            _waiting.Remove(send);
            world.Post(this, send);
        }

        Raft!.Persisted(new PersistSequence(done), Now);
    }

    private void Carry(Effect effect)
    {
        switch (effect)
        {
            case Effect.Persist persist:
                world.Say($"{Id} {Text.Of(persist)}");
                _unsynced.Add(persist);
                break;
            case Effect.Send send when send.After.Value > _synced:
                _waiting.Add(send);
                break;
            case Effect.Send send:
                world.Post(this, send);
                break;
            case Effect.Commit commit:
                Apply(commit.Index);
                break;
            case Effect.ReadReady ready:
                world.Say($"{Id} read {ready.Id} ready at {ready.Index}");
                break;
            case Effect.ReadFailed failed:
                world.Say($"{Id} read {failed.Id} failed");
                break;
            case Effect.RoleChanged role:
                world.Say($"{Id} is {role.Role} in {role.Term}, leader {role.Leader}");
                break;
            case Effect.Release release:
                world.Say($"{Id} releases its log up to {release.Through}");
                Disk.RemoveAll(e => e.Index <= release.Through);
                DiskBase = new LogBase(release.Through, Raft!.Log.TermAt(release.Through)!.Value);
                break;
            case Effect.ReadSnapshot read:
                var length = (int)Math.Min(read.MaxBytes, read.Snapshot.Bytes - read.Offset);
                Raft!.SnapshotRead(read.To, read.Snapshot.Id, read.Offset, new byte[length], SnapshotDamaged ? 1u : 0, Now);
                break;
            case Effect.StoreSnapshot store:
                Receive(store);
                break;
            case Effect.DropSnapshot drop:
                world.Say($"{Id} drops snapshot {drop.Snapshot}");
                break;
            case Effect.ConfigurationChanged changed:
                world.Say($"{Id} goes by {{{changed.Configuration}}}");
                break;
            case Effect.Fetch fetch:
                world.Say($"{Id} fetches {fetch.From}..{fetch.Through} for {fetch.To}");
                Raft!.EntriesFetched(fetch.To, Disk.Where(e => !DiskUnreadable && e.Index >= fetch.From && e.Index <= fetch.Through).ToArray(), Now);
                break;
        }
    }

    private void Receive(Effect.StoreSnapshot store)
    {
        var (snapshot, next) = (store.Snapshot, store.Offset + store.Data.Length);
        if (next < snapshot.Bytes)
        {
            Raft!.SnapshotStored(snapshot.Id, next, Now);
        }
        else if (store.Crc != 0)
        {
            world.Say($"{Id} can't verify snapshot {snapshot}");
            Raft!.SnapshotStored(snapshot.Id, 0, Now);
        }
        else
        {
            Raft!.SnapshotStored(snapshot.Id, next, Now);
            Snapshot = snapshot;
            Load(snapshot);
            world.Say($"{Id} installs snapshot {snapshot}");
            Raft.SnapshotInstalled(snapshot, world.ConfigurationOf(snapshot), Now);
        }
    }

    private void Load(SnapshotMeta snapshot)
    {
        Applied.Clear();
        Applied.AddRange(world.StateOf(snapshot));
        AppliedIndex = snapshot.Index;
    }

    private void Apply(LogIndex commit)
    {
        var entries = new List<Entry>();
        for (var index = AppliedIndex.Next; index <= commit; index = index.Next)
        {
            entries.Clear();
            var entry = Raft!.Log.TryRead(index, index, 1, entries) ? entries[0] : Disk.Single(e => e.Index == index);
            Applied.Add(Text.Of(entry));
            world.CheckApplied(Id, entry);
        }

        AppliedIndex = commit;
        Raft!.Applied(commit);
        world.Say($"{Id} commits {commit}");
    }

    private void Store(Effect.Persist persist)
    {
        HardState = persist.HardState ?? HardState;
        Identity = persist.Identity ?? Identity;
        if (persist.ResetTo is { } reset)
        {
            Disk.Clear();
            DiskBase = reset;
        }

        if (persist.Entries.Count > 0)
        {
            Disk.RemoveAll(entry => entry.Index >= persist.Entries[0].Index);
            Disk.AddRange(persist.Entries);
        }
    }
}
