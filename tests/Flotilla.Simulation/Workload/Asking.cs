using Flotilla.Linearizability;
using Flotilla.Shards;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Workload;

/// <summary>One question to one replica: it may find the node down, its answer may get lost, and whatever arrives has an answer by its deadline.</summary>
internal sealed class Asking(World world, Workload workload, Chance chance)
{
    /// <summary>What a replica is given.</summary>
    public const int DeadlineMs = 1500;

    // Clocks that run ten per cent slow and a step that comes late are within the slack; a node that was stopped is excused.
    private const long SlackUs = 700_000;
    private int _questions;

    /// <summary>Microseconds after which no answer will come.</summary>
    public const long LongestUs = (DeadlineMs * 1000) + SlackUs;

    /// <summary>Asks.</summary>
    /// <param name="who">For the transcript.</param>
    /// <param name="what">For the transcript.</param>
    /// <param name="shard">The shard.</param>
    /// <param name="node">The node.</param>
    /// <param name="key">What a get is of; null for a command.</param>
    /// <param name="command">The command; not used for a get.</param>
    /// <param name="answer">Takes the answer when it comes, once or never; null when none will come any more, perhaps after an answer.</param>
    public void Ask(string who, string what, ShardId shard, SimulatedNode node, byte[]? key, Command command, Action<CommandResult?> answer)
    {
        var label = $"{who}.{++_questions}";
        world.Scheduler.After(chance.Exponential(150), () => Arrive(label, what, shard, node, key, command, answer));
    }

    /// <summary>Asks for a page of a scan.</summary>
    /// <param name="who">For the transcript.</param>
    /// <param name="shard">The shard.</param>
    /// <param name="node">The node.</param>
    /// <param name="request">What is wanted.</param>
    /// <param name="answer">As with <see cref="Ask"/>.</param>
    public void Scan(string who, ShardId shard, SimulatedNode node, ScanRequest request, Action<ScanPage?> answer)
    {
        var label = $"{who}.{++_questions}";
        world.Scheduler.After(chance.Exponential(150), () =>
        {
            if (!node.Up || World.ReplicaOn(node, shard) is not { } hosted)
            {
                workload.Forget(shard, node);
                answer(null);
                return;
            }

            var id = workload.NextRequest();
            var boot = node.Boot;
            if (world.Transcript.On)
            {
                world.Say(hosted, $"<- {label} scan");
            }

            hosted.Scans.Add(id, page =>
            {
                workload.Learn(shard, hosted.Replica.Raft.Leader, page.Code);
                if (world.Transcript.On)
                {
                    world.Say(hosted, $"-> {label} {page.Code} {page.Records.Count} records of {page.Slots.Count} slots");
                }

                world.Scheduler.After(chance.Exponential(150), () => answer(page));
            });
            node.Post(hosted, (replica, clock) => replica.Scan(new RequestId(id), request, stale: false, clock.Now.PlusMs(DeadlineMs), clock));
            world.Scheduler.After(LongestUs, () => GiveUp(hosted, id, boot, () => answer(null)));
        });
    }

    private void Arrive(string label, string what, ShardId shard, SimulatedNode node, byte[]? key, Command command, Action<CommandResult?> answer)
    {
        if (!node.Up || World.ReplicaOn(node, shard) is not { } hosted)
        {
            // A refused connection, or a shard that is not there any more: certainly nothing was proposed.
            workload.Forget(shard, node);
            answer(CommandResult.Of(ResultCode.NoQuorum));
            return;
        }

        var id = workload.NextRequest();
        var boot = node.Boot;
        if (world.Transcript.On)
        {
            world.Say(hosted, $"<- {label} {what}");
        }

        hosted.Requests.Add(id, result =>
        {
            if (key is null)
            {
                world.Held?.Acknowledged(hosted, in command, in result);
            }

            if (result.Code == ResultCode.ReplicaUnavailable)
            {
                world.Count("replica unavailable");
            }

            workload.Learn(shard, hosted.Replica.Raft.Leader, result.Code);
            if (world.Transcript.On)
            {
                world.Say(hosted, $"-> {label} {result.Code} {result.Version} {Keys.Short(Keys.Text(result.Value))}");
            }

            if (workload.Stopping || !world.AnswersGetLost || !chance.Hit(world.Options.Noise / 2))
            {
                world.Scheduler.After(chance.Exponential(150), () => answer(result));
            }
        });
        node.Post(hosted, (replica, clock) =>
        {
            var deadline = clock.Now.PlusMs(DeadlineMs);
            if (key is not null)
            {
                replica.Get(new RequestId(id), key, stale: false, deadline, clock);
            }
            else
            {
                replica.Execute(new RequestId(id), command, deadline, clock);
            }
        });
        world.Scheduler.After(LongestUs, () => GiveUp(hosted, id, boot, () => answer(null)));
    }

    private void GiveUp(HostedReplica hosted, ulong id, int boot, Action answer)
    {
        var node = hosted.Node;
        if (node.Up && node.Boot == boot && (hosted.Requests.ContainsKey(id) || hosted.Scans.ContainsKey(id)) && node.DisturbedAtUs < world.Scheduler.NowUs - LongestUs)
        {
            throw new SimulationException($"{hosted.Name} left request {id} without an answer beyond its deadline (hazard 7)");
        }

        answer();
    }
}
