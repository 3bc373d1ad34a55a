using System.Diagnostics.Metrics;
using Flotilla.Node;
using Flotilla.Server.Http;

namespace Flotilla.Server.Metrics;

/// <summary>The process and the replicas that it hosts, observed at each scrape.</summary>
internal sealed class ClusterMetrics : IDisposable
{
    private static readonly string[] Roles = ["leader", "follower", "candidate", "learner", "removed"];

    private readonly Meter _meter;
    private readonly IGateway _gateway;
    private readonly long _startedAt = Environment.TickCount64;

    public ClusterMetrics(object scope, IGateway gateway, string version)
    {
        _gateway = gateway;
        _meter = new Meter(new MeterOptions("Flotilla.Process") { Scope = scope });
        Process(version);
        Replicas();
        _meter.CreateObservableGauge("flotilla_node_alive", Nodes, null, "1 for a node that answers, as far as this process knows.");
        _meter.CreateObservableGauge("flotilla_topology_age_seconds", () => gateway.View.AgeMs / 1000.0, "s", "Since the oldest part of what this process knows of the cluster was learned.");
    }

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();

    private void Process(string version)
    {
        _meter.CreateObservableGauge("flotilla_build_info", () => new Measurement<int>(1, new KeyValuePair<string, object?>("version", version), new KeyValuePair<string, object?>("runtime", Environment.Version)), null, "Always 1; the labels say what runs.");
        _meter.CreateObservableCounter("flotilla_process_cpu_seconds_total", () => Environment.CpuUsage.TotalTime.TotalSeconds, "s", "CPU time of the process, user and system.");
        _meter.CreateObservableGauge("flotilla_process_resident_memory_bytes", () => Environment.WorkingSet, "By", "Memory of the process that is in RAM.");
        _meter.CreateObservableGauge("flotilla_process_uptime_seconds", () => (Environment.TickCount64 - _startedAt) / 1000.0, "s", "Since the node was built.");
        _meter.CreateObservableGauge("flotilla_process_gc_heap_bytes", () => GC.GetTotalMemory(forceFullCollection: false), "By", "Managed memory in use.");
        _meter.CreateObservableCounter("flotilla_process_gc_allocated_bytes_total", () => GC.GetTotalAllocatedBytes(), "By", "Managed memory ever allocated.");
        _meter.CreateObservableCounter("flotilla_process_gc_pause_seconds_total", () => GC.GetTotalPauseDuration().TotalSeconds, "s", "Time that garbage collections stopped the process.");
        _meter.CreateObservableCounter("flotilla_process_gc_collections_total", Collections, null, "Garbage collections by generation.");
        _meter.CreateObservableGauge("flotilla_process_threadpool_threads", () => ThreadPool.ThreadCount, null, "Threads of the thread pool.");
        _meter.CreateObservableGauge("flotilla_process_threadpool_queue", () => ThreadPool.PendingWorkItemCount, null, "Work that waits for a thread of the pool.");
    }

    private void Replicas()
    {
        _meter.CreateObservableGauge("flotilla_shard_role", RoleOfEach, null, "1 for the role that the replica hosted here plays, 0 for the others.");
        Gauge("flotilla_shard_term", null, "The replica's term.", r => (long)r.Term.Value);
        Gauge("flotilla_shard_commit_index", null, "The last entry that the replica knows to be committed.", r => (long)r.CommitIndex.Value);
        Gauge("flotilla_shard_applied_index", null, "The last entry that the replica has applied.", r => (long)r.LastApplied.Value);
        Gauge("flotilla_shard_last_log_index", null, "The last entry in the replica's log.", r => (long)r.LastLogIndex.Value);
        Gauge("flotilla_shard_snapshot_index", null, "The last entry that the replica's snapshot covers.", r => (long)r.SnapshotIndex.Value);
        Gauge("flotilla_shard_has_leader", null, "1 if the replica knows a leader.", r => r.Leader.IsNone ? 0 : 1);
        Gauge("flotilla_shard_admitted", null, "1 if the replica may vote and acknowledge.", r => r.Admitted ? 1 : 0);
        Gauge("flotilla_shard_keys", null, "Records that the replica holds.", r => r.Keys);
        Gauge("flotilla_shard_slots", null, "Slots that the shard owns, by what the replica has applied.", r => r.Slots);
        _meter.CreateObservableGauge("flotilla_shard_moves", MovesOfEach, null, "Moves of slots from (out) and to (in) the shards led here that are not settled, by stage.");
        Gauge("flotilla_shard_bytes", "By", "Bytes of the keys and values that the replica holds.", r => r.Bytes);
    }

    private void Gauge(string name, string? unit, string description, Func<ReplicaView, long> value) =>
        _meter.CreateObservableGauge(name, () => _gateway.View.Local.Select(r => new Measurement<long>(value(r), Shard(r))), unit, description);

    private IEnumerable<Measurement<int>> RoleOfEach()
    {
        foreach (var replica in _gateway.View.Local)
        {
            var name = ClusterDocuments.RoleName(replica);
            foreach (var role in Roles)
            {
                yield return new Measurement<int>(role == name ? 1 : 0, Shard(replica), new KeyValuePair<string, object?>("role", role));
            }
        }
    }

    // All stages, so that one that is over is seen to be over. Followers have none.
    private IEnumerable<Measurement<int>> MovesOfEach()
    {
        foreach (var replica in _gateway.View.Local)
        {
            if (replica.Moves is not { } moves)
            {
                continue;
            }

            foreach (var isIncoming in (bool[])[false, true])
            {
                foreach (var stage in MoveView.Stages)
                {
                    var count = moves.Count(m => m.IsIncoming == isIncoming && string.Equals(m.Stage, stage, StringComparison.Ordinal));
                    yield return new Measurement<int>(count, Shard(replica), new KeyValuePair<string, object?>("direction", isIncoming ? "in" : "out"), new KeyValuePair<string, object?>("stage", stage));
                }
            }
        }
    }

    private IEnumerable<Measurement<int>> Nodes() =>
        _gateway.View.Nodes.Select(node => new Measurement<int>(node.Alive ? 1 : 0, new KeyValuePair<string, object?>("node", node.Node)));

    private static IEnumerable<Measurement<long>> Collections() =>
        Enumerable.Range(0, GC.MaxGeneration + 1).Select(g => new Measurement<long>(GC.CollectionCount(g), new KeyValuePair<string, object?>("generation", g)));

    private static KeyValuePair<string, object?> Shard(ReplicaView replica) => new("shard", replica.Shard.Value);
}
