using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using System.IO.Pipelines;
using Flotilla.Contracts.Http;
using Flotilla.Node;
using Flotilla.Shards;
using Flotilla.Shards.Image;
using Flotilla.Topology;
using Flotilla.Wire.Backups;
using Microsoft.Extensions.Logging;

namespace Flotilla.Server.Http;

/// <summary><c>GET /backup?shard=N</c>: the state of one shard as frames of a backup (docs/backup.md).</summary>
internal sealed partial class BackupRoute(IGateway gateway, IBackups? backups, ILogger logger)
{
    /// <summary>Each holds the memory of what it shows, and takes processor time from clients.</summary>
    private const int MaxAtOnce = 2;

    /// <summary>How fast one is sent, at most, as snapshots are written: cores and network are there for the clients. 32 MiB a second.</summary>
    private const double BytesPerMs = 32 << 10;

    private const string ContentType = "application/vnd.flotilla.backup";

    private int _underWay;

    /// <summary>Answers one.</summary>
    public Task Stream(HttpExchange exchange, RequestTarget target)
    {
        if (!QueryParameters.TryParse(target.Query, Parameters.Shard, strict: true, out var query, out var problem))
        {
            return exchange.Fail(Problems.BadRequest, problem);
        }

        if (!int.TryParse(query.Shard, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            return exchange.Fail(Problems.BadRequest, "\"shard\" must be the number of a shard: /config lists them.");
        }

        return backups is null ? Elsewhere(exchange, new ShardId(number)) : Stream(exchange, backups, new ShardId(number));
    }

    /// <summary>A router has no replicas; it knows who has.</summary>
    private Task Elsewhere(HttpExchange exchange, ShardId shard)
    {
        var view = gateway.View;
        if (view.Shards.FirstOrDefault(s => s.Shard == shard) is not { } known)
        {
            return exchange.Fail(Problems.BadRequest, $"There is no shard {shard} that this process knows of.");
        }

        var leader = view.Nodes.FirstOrDefault(n => n.Node == known.Leader);
        return exchange.Fail(Problems.NotLeader, Problems.Document(Problems.NotLeader, "A router has no replicas: ask a node that has one of the shard.", new LeaderHint(known.Leader.Value, leader?.Http)));
    }

    private async Task Stream(HttpExchange exchange, IBackups from, ShardId shard)
    {
        if (Interlocked.Increment(ref _underWay) > MaxAtOnce)
        {
            Interlocked.Decrement(ref _underWay);
            await exchange.Fail(Problems.Overloaded, $"{MaxAtOnce} shards are being backed up from here. Try again later, or ask another node.");
            return;
        }

        try
        {
            var answer = await from.TakeAsync(shard);
            if (answer.Image is null)
            {
                var kind = Problems.Of(answer.Code);
                await exchange.Fail(kind, Problems.Document(kind, answer.Detail, kind == Problems.NotLeader ? new LeaderHint(answer.Leader.Value, answer.LeaderHttp) : null));
                return;
            }

            var output = await exchange.Begin(200, ContentType);
            await Send(exchange, output, answer.ClusterId, shard, answer.Image);
        }
        catch (Exception e)
        {
            // The status has gone out: only the missing end tells the client.
            if (!exchange.ClientIsGone)
            {
                LogBroken(logger, e, shard);
            }

            exchange.Abort();
        }
        finally
        {
            Interlocked.Decrement(ref _underWay);
        }
    }

    private static async Task Send(HttpExchange exchange, PipeWriter output, ulong clusterId, ShardId shard, StateImage image)
    {
        var started = Stopwatch.GetTimestamp();
        var frames = new BackupFrameWriter();
        var blocks = new ImageWriter(image);
        var block = new ArrayBufferWriter<byte>(ImageWriter.MaxBlockBytes);
        var (count, bytes) = (0L, 0L);
        frames.Write(output, BackupFrameKind.Shard, new BackupShard(clusterId, shard.Value).Encode());
        while (blocks.TryWrite(block))
        {
            frames.Write(output, BackupFrameKind.Block, block.WrittenSpan);
            (count, bytes) = (count + 1, bytes + block.WrittenCount);
            block.ResetWrittenCount();
            if ((await output.FlushAsync()).IsCompleted || exchange.ClientIsGone)
            {
                return;
            }

            var ahead = TimeSpan.FromMilliseconds(bytes / BytesPerMs) - Stopwatch.GetElapsedTime(started);
            if (ahead > TimeSpan.FromMilliseconds(1))
            {
                await Task.Delay(ahead);
            }
        }

        frames.Write(output, BackupFrameKind.ShardEnd, new BackupShardEnd(count, image.Records.Count).Encode());
        await output.FlushAsync();
    }

    [LoggerMessage(1013, LogLevel.Error, "The backup of shard {Shard} met a defect; its client's connection was cut and it asks elsewhere. Please report it with this line.")]
    private static partial void LogBroken(ILogger logger, Exception exception, ShardId shard);
}
