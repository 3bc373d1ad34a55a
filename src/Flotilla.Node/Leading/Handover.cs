using Flotilla.Node.Cluster;
using Flotilla.Node.Gateways;
using Flotilla.Node.Loops;
using Flotilla.Node.Peers;
using Flotilla.Raft;

namespace Flotilla.Node.Leading;

/// <summary>
/// Gives away what this node leads. Whom to is for Raft to decide, which knows who is most caught up; here stands only when
/// to ask, and how long to wait.
/// </summary>
internal sealed class Handover(ClusterState cluster, PeerTransport transport, Gateway gateway, IReadOnlyList<ShardLoop> loops)
{
    private const int PollMs = 10;
    private const double AskAgainMs = 100;

    /// <summary>Asks the others to lead what this node leads; does nothing for the rest. Never waits.</summary>
    public void Begin()
    {
        foreach (var route in cluster.Table.Shards)
        {
            if (CanHandOver(route))
            {
                Ask(route);
            }
        }
    }

    /// <summary>
    /// Hands over everything that another living voter could lead, and waits until it is known who leads it, or
    /// <paramref name="patience"/> is over. The caller has made this node's replicas reluctant, or they might be elected again.
    /// </summary>
    public async Task FinishAsync(TimeSpan patience)
    {
        var deadline = NodeClock.Now.PlusMs(patience.TotalMilliseconds);
        var pending = new List<ShardRoute>();
        Instant askAgain = default;
        while (true)
        {
            foreach (var route in cluster.Table.Shards)
            {
                if (!pending.Contains(route) && CanHandOver(route))
                {
                    pending.Add(route);
                }
            }

            pending.RemoveAll(route => route.Leader.Leader is { IsNone: false } leader && leader != cluster.Self);
            if (pending.Count == 0 || NodeClock.Now >= deadline)
            {
                return;
            }

            // A transfer may have ended without an heir, or not have begun: asking again costs nothing while one is under way.
            if (NodeClock.Now >= askAgain)
            {
                askAgain = NodeClock.Now.PlusMs(AskAgainMs);
                pending.ForEach(Ask);
            }

            Task news = Task.WhenAny(pending.Select(route => route.Leader.Superseded));
            await news.WaitAsync(TimeSpan.FromMilliseconds(PollMs)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>
    /// Waits until nobody waits for this node any more: every call of its own clients and every one that reached a replica
    /// here is answered, and the answers to other nodes are sent; or until <paramref name="patience"/> is over.
    /// </summary>
    public async Task SettleAsync(TimeSpan patience)
    {
        var deadline = NodeClock.Now.PlusMs(patience.TotalMilliseconds);

        // Twice in a row: what was answered at the first look has been sent at the second, and read at the other side.
        for (var quiet = 0; quiet < 2 && NodeClock.Now < deadline;)
        {
            var waiting = gateway.UnderWay > 0 || transport.Links.Any(static link => link.Session is { OwesAnswers: true });
            foreach (var loop in loops)
            {
                var counted = loop.CountWaitingAsync();
                Task ready = counted;
                await ready.WaitAsync(TimeSpan.FromMilliseconds(Math.Max(1, deadline.MsSince(NodeClock.Now)))).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                waiting |= !counted.IsCompletedSuccessfully || await counted > 0;
            }

            quiet = waiting ? 0 : quiet + 1;
            await Task.Delay(PollMs);
        }
    }

    private static void Ask(ShardRoute route) => route.Local!.Loop.Inbox.Post(LoopInput.ForTransfer(route.Local, default));

    private bool CanHandOver(ShardRoute route) =>
        route.Local is { View.Role: Role.Leader } && route.Voters.Any(voter => voter != cluster.Self && transport.IsAlive(voter));
}
