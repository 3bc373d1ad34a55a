using Flotilla.Linearizability;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Simulation.Faults;
using Flotilla.Simulation.Moves;
using Flotilla.Simulation.Nodes;
using Flotilla.Simulation.Workload;
using Flotilla.Topology;

namespace Flotilla.Simulation;

/// <summary>
/// Every run ends healed: once faults have stopped, each shard elects a leader, all replicas come to the same state, and
/// writes and reads are served, within a bound. A cluster that is safe because it does nothing fails here.
/// </summary>
internal sealed class Healing(World world, Workload.Workload workload, Operator @operator)
{
    private const long ConvergeUs = 20_000_000;
    private const long HomeUs = 60_000_000;
    private const long ServeUs = 5_000_000;
    private const long EndUs = 8_000_000;
    private const long LookEveryUs = 50_000;

    public void Run()
    {
        // What clients began ends first: their time-outs run out, or answers come.
        var start = world.Scheduler.NowUs;
        workload.Stopping = true;
        if (world.Options.Moves)
        {
            ComeHome(start);
            start = world.Scheduler.NowUs;
        }

        while (world.Shards.Any(s => Obstacle(s) is not null))
        {
            if (world.Scheduler.NowUs - start > ConvergeUs)
            {
                throw new SimulationException($"not healed {ConvergeUs / 1_000_000} s after the last fault: {string.Join("; ", world.Shards.Select(Obstacle).Where(o => o is not null))}");
            }

            world.Scheduler.RunUntil(world.Scheduler.NowUs + LookEveryUs);
        }

        world.Counts["healed after ms"] = (int)((world.Scheduler.NowUs - start) / 1000);
        foreach (var (shard, key) in workload.Keys.Final)
        {
            var value = $"healed-{shard}";
            Serve(new ClientRequest(0, OperationKind.Put, key, value, 0, null, default, true, 0, world.Scheduler.NowUs), null);
            Serve(new ClientRequest(0, OperationKind.Get, key, null, 0, null, default, true, 0, world.Scheduler.NowUs), value);
        }

        foreach (var hosted in world.Nodes.SelectMany(n => n.Replicas).Where(r => !IsExcused(r)))
        {
            world.States.Check(hosted);
        }

        if (world.Options.Moves)
        {
            Homecoming.MustBeClean(world);
            Homecoming.MustHave(world, workload.Filled);
        }

        // Whatever still waits for an answer gets one, or its client gives up.
        world.Scheduler.RunUntil(world.Scheduler.NowUs + EndUs);
    }

    private void ComeHome(long start)
    {
        while (Homecoming.Obstacle(world) is { } obstacle)
        {
            if (world.Scheduler.NowUs - start > HomeUs)
            {
                throw new SimulationException($"Homecoming: {HomeUs / 1_000_000} s after the last fault {obstacle}");
            }

            world.Scheduler.RunUntil(world.Scheduler.NowUs + LookEveryUs);
        }

        world.Counts["home after ms"] = (int)((world.Scheduler.NowUs - start) / 1000);
    }

    /// <summary>Where members don't change a wiped node stays without a seat; so does one that was late to its first start when a wiped one cannot vouch for it.</summary>
    private bool IsExcused(HostedReplica r) => !world.Options.Members && (r.Node.Wiped || (!r.Replica.Raft.Admitted && world.Nodes.Any(n => n.Wiped)));

    /// <summary>What keeps a shard from being healed; null if nothing does.</summary>
    private string? Obstacle(ShardGenesis shard)
    {
        if (world.IsRetired(shard.Shard))
        {
            var places = world.Nodes.Where(n => World.ReplicaOn(n, shard.Shard) is not null).ToList();
            return places.Count == 0 ? null : $"shard {shard.Shard} is retired, and still there on {string.Join(", ", places.Select(n => n.Id))}";
        }

        var replicas = world.Nodes.Select(n => World.ReplicaOn(n, shard.Shard)).OfType<HostedReplica>().Where(r => !IsExcused(r)).ToList();
        var leaders = replicas.Where(r => r.Replica.Raft.Role == Role.Leader).ToList();
        if (leaders.Count != 1)
        {
            return $"shard {shard.Shard} has {leaders.Count} leaders; {string.Join(", ", replicas.Select(Describe))}";
        }

        if (world.Options.Members && @operator.Obstacle(leaders[0]) is { } obstacle)
        {
            return obstacle;
        }

        var last = leaders[0].Log.Last;
        var behind = replicas.Where(r => r.Replica.LastApplied != last || r.Log.Last != last || r.Replica.Raft.Term != leaders[0].Replica.Raft.Term).ToList();
        if (leaders[0].Replica.HeldUpBy(leaders[0].Node.Clock.Read().Now) is { IsNone: false } silent)
        {
            return $"shard {shard.Shard}: {silent} holds up its writes";
        }

        return behind.Count == 0 && leaders[0].Replica.Raft.AcceptsProposals ? null : $"shard {shard.Shard} led by {leaders[0].Node.Id} up to {last}; {string.Join(", ", replicas.Select(Describe))}";
    }

    private void Serve(ClientRequest request, string? expected)
    {
        CommandResult? answer = null;
        var ended = false;
        workload.Clients[0].Try(request, result => (answer, ended) = (result, true));
        world.Scheduler.RunUntil(world.Scheduler.NowUs + ServeUs, () => ended);
        if (answer?.Code != ResultCode.Ok || (expected is not null && Keys.Text(answer.Value.Value) != expected))
        {
            throw new SimulationException($"a healed cluster does not serve: {request.Kind} {request.Key} ends as {answer?.Code.ToString() ?? "no answer"}");
        }
    }

    private static string Describe(HostedReplica r) =>
        $"{r.Name} {r.Replica.Raft.Role} {r.Replica.Raft.Term} admitted {r.Replica.Raft.Admitted} last {r.Log.Last} commit {r.Replica.Raft.CommitIndex} applied {r.Replica.LastApplied} {{{r.Replica.Raft.Configuration}}}{(r.Replica.Raft.IsRemoved ? " removed" : "")}{(r.Node.Wiped ? " wiped" : "")}";
}
