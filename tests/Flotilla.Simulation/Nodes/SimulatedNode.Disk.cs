using Flotilla.Raft;
using Flotilla.Shards;

namespace Flotilla.Simulation.Nodes;

/// <content>The node's disk: one batch for all replicas at a time, what ends a process in the middle of one, and what a start reads back.</content>
public sealed partial class SimulatedNode
{
    private void StartSync()
    {
        if (_syncing || (_toForget.Count == 0 && !_toPersist.Exists(p => p.Persist.MustSync)))
        {
            return;
        }

        _syncing = true;
        _beingSynced = [.. _toPersist];
        _beingReleased = [.. _toRelease];
        _beingForgotten = [.. _toForget];
        _toForget.Clear();
        _toPersist.Clear();
        _toRelease.Clear();
        var boot = Boot;
        _world.Scheduler.At(Timing.SyncEndsAt(_world.Scheduler.NowUs), () => EndSync(boot));
    }

    private void EndSync(int boot)
    {
        if (!Up || boot != Boot)
        {
            return;
        }

        if (Timing.StalledUntilUs > _world.Scheduler.NowUs)
        {
            _world.Scheduler.At(Timing.StalledSyncEndsAt(_world.Scheduler.NowUs), () => EndSync(boot));
            return;
        }

        try
        {
            WriteBatch();
        }
        catch (IOException e)
        {
            // A failed sync is final: the process ends, and the machine's memory is no more to be trusted than the disk.
            _world.Say(this, $"cannot write: {e.Message}");
            _syncing = false;
            Stop(power: true);
            _world.Scheduler.After(_chance.Between(100_000, 2_000_000), () => _world.StartIfDown(this));
            return;
        }

        _syncing = false;
        Batches++;
        var done = _beingSynced;
        _beingSynced = [];
        foreach (var group in done.GroupBy(p => p.Replica))
        {
            var hosted = group.Key;
            var sequence = group.Last().Persist.Sequence;
            hosted.Acknowledged(sequence);
            var ready = hosted.WaitingSends.FindAll(s => s.After.Value <= sequence.Value);
            hosted.WaitingSends.RemoveAll(s => s.After.Value <= sequence.Value);
            foreach (var send in ready)
            {
                Send(hosted, send);
            }

            Post(hosted, (replica, clock) => replica.Persisted(sequence, clock));
        }

        StartSync();
    }

    private void WriteBatch()
    {
        foreach (var (hosted, persist) in _beingSynced)
        {
            _wal!.Append(hosted.Genesis.Group, persist);
        }

        foreach (var (hosted, through) in _beingReleased)
        {
            _wal!.Release(hosted.Genesis.Group, through);
        }

        foreach (var group in _beingForgotten)
        {
            _wal!.Forget(group);
        }

        _wal!.Sync();
    }

    private void WriteUnacknowledged()
    {
        if (_chance.Hit(0.8))
        {
            Disk.PowerOffAfter(_chance.Below(4));
        }

        try
        {
            WriteBatch();
        }
        catch (IOException)
        {
            // That is what was wanted: what is left of the batch is up to the disk.
            _world.Count("torn batch");
        }
    }

    private LogMirror ReadLog(ShardGenesis shard, RaftRecovery recovered)
    {
        var log = new LogMirror();
        log.ResetTo(_world.Committed.Prefix(shard.Shard, recovered.Base));
        while (log.Last < recovered.LastIndex)
        {
            var entries = new List<Entry>();
            if (!_wal!.TryRead(shard.Group, log.Last.Next, recovered.LastIndex, 1 << 20, entries))
            {
                throw new SimulationException($"{Id}: the log of {shard.Shard} ends at {recovered.LastIndex}, but {log.Last.Next} cannot be read");
            }

            log.Write(entries);
        }

        return log;
    }
}
