using Flotilla.Contracts;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Members;

/// <summary>
/// Makes a cluster of nodes that wait to be added: tells each of one and the same genesis, in which all of them are first nodes. What follows is what follows when they
/// are started with that genesis as flags: they ask each other whether they are new, and begin. To tell again is harmless, so whoever died on the way is simply started again.
/// </summary>
public static class ClusterFormer
{
    private const int RetryMs = 250;
    private const int ReplicasAtMost = 3;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly NodeId Caller = new("master");

    /// <summary>Waits until every worker answers, and forms the cluster unless none of them waits for one any more: one shard for each, with three replicas at most.</summary>
    /// <param name="workers">Where each serves other nodes, and where HTTP. At least two: one that begins alone would not know whether it begins anew.</param>
    /// <param name="mode">How the shards replicate at first.</param>
    /// <param name="log">Told what is waited for and what was done.</param>
    /// <param name="stop">Ends the wait.</param>
    /// <exception cref="NodeFailedException">A worker belongs to another cluster, or two of them bear one name.</exception>
    public static async Task FormAsync(IReadOnlyList<(HostPort Rpc, HostPort Http)> workers, ShardMode mode, TextWriter log, CancellationToken stop)
    {
        ArgumentNullException.ThrowIfNull(workers);
        ArgumentNullException.ThrowIfNull(log);
        var found = new List<(Visit Visit, HostPort Rpc)>();
        foreach (var (rpc, http) in workers)
        {
            found.Add((await FindAsync(rpc, http, log, stop), rpc));
        }

        if (found.GroupBy(worker => worker.Visit.Node).FirstOrDefault(static group => group.Count() > 1) is { } twice)
        {
            throw new NodeFailedException($"Workers at {string.Join(" and ", twice.Select(static worker => worker.Rpc))} are both called {twice.Key}: start one of them with another --node-id and an empty data directory.");
        }

        if (!found.Exists(static worker => worker.Visit.Waits))
        {
            await log.WriteLineAsync("The workers have their cluster.");
            return;
        }

        ClusterMember[] members = [.. found.Select(static worker => new ClusterMember(worker.Visit.Node, worker.Rpc.ToString())).OrderBy(static member => member.Node)];
        var replicas = Math.Min(ReplicasAtMost, members.Length);
        var genesis = Genesis.Compute(members, members.Length, replicas, mode: mode);
        var adopter = new Adopter(Caller, () => new JoinAnswer(genesis.ClusterId, members, members.Length, replicas, 0, members) { Mode = mode });
        foreach (var (visit, rpc) in found)
        {
            await TellAsync(adopter, visit, rpc, stop);
        }

        await log.WriteLineAsync($"Workers {string.Join(", ", members.Select(static member => member.Node))} are a cluster of {members.Length} shards with {replicas} replicas each, in mode {ShardModes.NameOf(mode)}.");
    }

    private static async Task<Visit> FindAsync(HostPort rpc, HostPort http, TextWriter log, CancellationToken stop)
    {
        for (var isTold = false; ; isTold = true)
        {
            var (visit, reason) = await Visit.PayAsync(http);
            if (visit is not null)
            {
                return visit;
            }

            if (!isTold)
            {
                await log.WriteLineAsync($"Waiting for the worker at {rpc}, which is asked over HTTP at {http}: {reason}");
            }

            await Task.Delay(RetryMs, stop);
        }
    }

    private static async Task TellAsync(Adopter adopter, Visit visit, HostPort rpc, CancellationToken stop)
    {
        while (true)
        {
            var adoption = await adopter.TellAsync(visit.Node, rpc.ToString(), Patience);
            switch (adoption?.Code)
            {
                case ChangeCode.Done:
                    return;
                case ChangeCode.OtherCluster or ChangeCode.WrongNode:
                    throw new NodeFailedException($"Worker {visit.Node}: {adoption.Detail}. The others are named in the same order and number each time; one more is added with: flotilla add-node NAME HOST:PORT.");
                default:
                    await Task.Delay(RetryMs, stop);
                    break;
            }
        }
    }
}
