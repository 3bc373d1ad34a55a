using Flotilla.Raft;
using Flotilla.Wire.Peers;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Hosting;

/// <summary>How a node without a cluster learns of one: by asking (<c>--join</c>, <c>--peer-shards</c>).</summary>
public static class Joiner
{
    private const int MinPauseMs = 100;
    private const int MaxPauseMs = 2000;
    private static readonly TimeSpan CertaintyPatience = TimeSpan.FromSeconds(10);

    /// <summary>Asks for a cluster, again and again until somebody answers, and says in the log why nobody did, once per reason.</summary>
    /// <param name="contacts">Whom to ask.</param>
    /// <param name="self">The asker.</param>
    /// <param name="incarnation">Its data directory.</param>
    /// <param name="complain">Told each reason, too.</param>
    /// <param name="log">Where to complain.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<JoinAnswer> AskAsync(Contacts contacts, NodeId self, Incarnation incarnation, Action<string> complain, ILogger log, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(contacts);
        ArgumentNullException.ThrowIfNull(complain);
        ArgumentNullException.ThrowIfNull(log);
        var pauseMs = MinPauseMs;
        string? said = null;
        while (true)
        {
            var attempt = await contacts.AskAsync(self, incarnation, cancellation);
            if (attempt.Cluster is { } cluster)
            {
                return cluster;
            }

            if (said != attempt.Reason)
            {
                said = attempt.Reason;
                complain(said);
                log.CannotJoin(self, contacts.Names, said, contacts.Flag);
            }

            await Task.Delay(pauseMs, cancellation);
            pauseMs = Math.Min(pauseMs * 2, MaxPauseMs);
        }
    }

    /// <summary>
    /// Asks whether there is a cluster already, before one is begun. Null as soon as each of those who were asked has said no, or is not
    /// there; one that is there and does not answer is asked again for ten seconds.
    /// </summary>
    /// <param name="contacts">Whom to ask.</param>
    /// <param name="self">The asker.</param>
    /// <param name="incarnation">Its data directory.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<JoinAnswer?> AskOnceAsync(Contacts contacts, NodeId self, Incarnation incarnation, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(contacts);
        var deadline = NodeClock.Now.PlusMs(CertaintyPatience.TotalMilliseconds);
        while (true)
        {
            var attempt = await contacts.AskAsync(self, incarnation, cancellation);
            if (attempt.Cluster is not null || attempt.IsCertain || NodeClock.Now >= deadline)
            {
                return attempt.Cluster;
            }

            await Task.Delay(MinPauseMs, cancellation);
        }
    }
}
