using System.Globalization;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;
using Microsoft.Extensions.Logging;

namespace Flotilla.Server.Http;

/// <summary>What operators change: who belongs to shards, who leads them, when they take snapshots.</summary>
/// <param name="changes">Carries them out; null if this process changes no cluster.</param>
/// <param name="single">The one shard of this process, or null.</param>
/// <param name="logger">Where defects go.</param>
internal sealed partial class ChangeRoutes(IClusterChanges? changes, ShardId? single, ILogger logger)
{
    private const double MaxWaitSeconds = 30;

    /// <summary>Answers one of the routes.</summary>
    public Task Answer(HttpExchange exchange, RequestTarget target)
    {
        if (changes is null)
        {
            return exchange.Fail(Problems.NotImplemented, "This process changes no cluster.");
        }

        // The raw target does not outlive the call, and the rest waits.
        return AnswerAsync(exchange, target.Path.ToString(), target.Query.ToString());
    }

    private async Task AnswerAsync(HttpExchange exchange, string path, string query)
    {
        try
        {
            exchange.ResponseHeaders.CacheControl = "no-store";
            var (fields, problem) = await FormFields.ReadAsync(exchange, query);
            if (problem is null && exchange.Route is Route.AddShard or Route.RemoveShard)
            {
                await AnswerLifeAsync(exchange, fields);
                return;
            }

            var wish = default(Wish);
            ModeWish? mode = null;
            if (problem is null && exchange.Route == Route.ConfigMode)
            {
                (mode, problem) = await ModeWish.ReadAsync(exchange);
                if (mode is { Mode: not (ShardMode.Raft or ShardMode.Sync or ShardMode.Chain) })
                {
                    await exchange.Fail(Problems.NotImplemented, "Of the modes raft, sync and chain are in this build. Nothing was changed.");
                    return;
                }
            }

            problem ??= Read(exchange.Route, path, fields, out wish);
            if (problem is not null)
            {
                await exchange.Fail(Problems.BadRequest, problem);
                return;
            }

            var answer = mode is not null ? await changes!.SetModeAsync(mode.Mode, mode.Shards, wish.Patience) : await CarryOut(exchange.Route, wish);
            if (answer.Code is ChangeCode.Done or ChangeCode.UnderWay)
            {
                await exchange.Send(answer.Code == ChangeCode.Done ? 200 : 202, Document(wish, answer), DocumentsJson.Default.ChangeDocument);
            }
            else
            {
                // One shard refused, and the others may be done, or on their way: whoever asked has to know.
                var kind = Problems.Of(answer.Code);
                await exchange.Fail(kind, Problems.Document(kind, answer.Detail) with { Shards = answer.Shards.Count > 0 ? Document(wish, answer).Shards : null });
            }
        }
        catch (Exception e) when (e is not Microsoft.AspNetCore.Http.BadHttpRequestException && exchange.Status == 0)
        {
            if (exchange.ClientIsGone)
            {
                return; // Nobody is left to be told; what was begun goes on.
            }

            LogBroken(logger, e, exchange.Route);
            await exchange.Fail(Problems.Internal);
        }
    }

    private async Task AnswerLifeAsync(HttpExchange exchange, FormFields fields)
    {
        const string Needed = "\"shardID\" is needed: the number of the shard, from 1 to 1048576.";
        if (!int.TryParse(fields["shardID"] ?? fields["shard"], NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number is < 1 or > 1 << 20)
        {
            await exchange.Fail(Problems.BadRequest, Needed);
            return;
        }

        HostPort? address = null;
        if (fields["shardAddress"] is { } text)
        {
            if (!HostPort.TryParse(text, out var parsed, out var problem))
            {
                await exchange.Fail(Problems.BadRequest, $"\"shardAddress\" must be HOST:PORT, the HTTP or RPC address of a node: {problem}.");
                return;
            }

            address = parsed;
        }

        var shard = new ShardId(number);
        var answer = exchange.Route == Route.AddShard
            ? await changes!.AddShardAsync(shard, address)
            : await changes!.RemoveShardAsync(shard, TimeSpan.FromSeconds(5));
        if (answer is { Code: ChangeCode.Done, State: { } state })
        {
            await exchange.Send(200, new ShardLifeDocument(number, state, answer.Node.Value, answer.Detail), DocumentsJson.Default.ShardLifeDocument);
        }
        else
        {
            await exchange.Fail(Problems.Of(answer.Code), answer.Detail);
        }
    }

    private Task<ChangeAnswer> CarryOut(Route route, Wish wish) => route switch
    {
        Route.RaftJoin => changes!.AddNodeAsync(wish.Node, wish.Address, wish.Shards, wish.Patience),
        Route.AddVoter => changes!.AddNodeAsync(wish.Node, wish.Address, wish.Shards, wish.Patience),
        Route.RaftLeave => changes!.RemoveNodeAsync(wish.Node, wish.Shards, wish.Patience),
        Route.RaftTransfer => changes!.TransferAsync(wish.Shards.Only!.Value, wish.Node, wish.Patience),
        _ => changes!.SnapshotAsync(wish.Shards, wish.Patience),
    };

    private string? Read(Route route, string path, FormFields fields, out Wish wish)
    {
        wish = default;
        var (node, address) = (fields["nodeid"], fields["addr"]);
        if (route == Route.AddVoter && !TrySplit(path, out address, out node))
        {
            return "The path is /AddVoter/HOST:RPC/ID.";
        }

        var needsNode = route is Route.RaftJoin or Route.RaftLeave or Route.AddVoter;
        if (node is null ? needsNode : !Genesis.IsNodeId(node))
        {
            return node is null ? "\"nodeid\" is needed: the name of the node that is meant." : $"'{node}' can't name a node: 1 to 64 visible ASCII characters other than , = / and quotes.";
        }

        HostPort? rpc = null;
        if (address is not null)
        {
            if (!HostPort.TryParse(address, out var parsed, out var why) || address.Length > 250)
            {
                return $"\"addr\" must be HOST:PORT, the RPC address of the node: {(address.Length > 250 ? "it is too long" : why)}.";
            }

            rpc = parsed;
        }

        var shards = ShardChoice.Hosted;
        if (fields["shard"] is { } shard)
        {
            var isNumber = int.TryParse(shard, NumberStyles.None, CultureInfo.InvariantCulture, out var only);
            if (!isNumber && shard is not "all")
            {
                return "\"shard\" must be the number of a shard, or all.";
            }

            shards = isNumber ? ShardChoice.One(new ShardId(only)) : ShardChoice.All;
        }

        if (single is { } own && int.TryParse(node, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0)
        {
            // Where a process is for one shard, its nodes are known by their numbers.
            node = SingleShard.NameOf(shards.Only ?? own, number).Value;
        }

        if (route == Route.RaftTransfer && shards.Only is null)
        {
            return "\"shard\" is needed: the number of the shard that is to be led by another node.";
        }

        var seconds = MaxWaitSeconds;
        if (fields["waitSeconds"] is { } wait && (!double.TryParse(wait, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out seconds) || !(seconds <= MaxWaitSeconds)))
        {
            return $"\"waitSeconds\" must be a number from 0 to {MaxWaitSeconds}.";
        }

        wish = new Wish(node is null ? default : new NodeId(node), rpc, shards, TimeSpan.FromSeconds(seconds));
        return null;
    }

    private static bool TrySplit(string path, out string? address, out string? node)
    {
        (address, node) = (null, null);
        var rest = path["/AddVoter/".Length..];
        var slash = rest.LastIndexOf('/');
        if (slash <= 0 || slash == rest.Length - 1)
        {
            return false;
        }

        (address, node) = (Uri.UnescapeDataString(rest[..slash]), Uri.UnescapeDataString(rest[(slash + 1)..]));
        return true;
    }

    private static ChangeDocument Document(Wish wish, ChangeAnswer answer) => new(
        wish.Node.Value,
        answer.Code == ChangeCode.Done,
        [.. answer.Shards.Select(static p => new ShardChangeDocument(p.Shard.Value, p.Code == ChangeCode.Done, p.Detail))]);

    private readonly record struct Wish(NodeId Node, HostPort? Address, ShardChoice Shards, TimeSpan Patience);

    [LoggerMessage(1013, LogLevel.Error, "A request to {Route} met a defect; the client got 500. Please report it with this line.")]
    private static partial void LogBroken(ILogger logger, Exception exception, Route route);
}
