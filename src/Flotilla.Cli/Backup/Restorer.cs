using System.Threading.Channels;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Load;
using Flotilla.Cli.Output;
using Flotilla.Client;

namespace Flotilla.Cli.Backup;

/// <summary>What a restore came to.</summary>
/// <param name="Records">Records stored.</param>
/// <param name="Expired">Records left out because their time was over.</param>
/// <param name="Repeated">Puts sent again because their outcome was unknown.</param>
/// <param name="IdempotencyKeys">Idempotency keys stored; those whose life is over are left out.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="PerSecond">Records stored per second.</param>
/// <param name="Complete">The whole backup is stored.</param>
/// <param name="Content">The digest of the backup's keys and values, as <c>backup</c> shows it.</param>
internal sealed record RestoreReport(long Records, long Expired, long Repeated, long IdempotencyKeys, double Seconds, double PerSecond, bool Complete, string Content);

/// <summary>
/// Puts the records of a backup into a cluster, many at a time and as any client would, so that the cluster's own shards
/// decide where each goes. A put whose outcome is unknown is sent again: the same value twice is the same as once.
/// Idempotency keys are put likewise, many of a slot at a time, and before the records of the shard that knew them: a write that is
/// sent again to the new cluster then finds its key wherever it would find what it wrote.
/// </summary>
internal sealed class Restorer(FlotillaClient client, int workers, TimeSpan patience, Action<string> warn)
{
    private const int QueuedPerWorker = 4;

    // What the HTTP door takes: a hundred years.
    private const double MaxTtlSeconds = 3_153_600_000;
    private readonly Patience _patience = new(patience, warn);
    private long _restored;
    private long _expired;
    private long _keys;

    /// <summary>Records stored.</summary>
    public long Restored => Interlocked.Read(ref _restored);

    /// <summary>Records left out because their time was over.</summary>
    public long Expired => Interlocked.Read(ref _expired);

    /// <summary>Idempotency keys stored.</summary>
    public long IdempotencyKeys => Interlocked.Read(ref _keys);

    /// <summary>Puts sent again.</summary>
    public long Repeated => _patience.Repeated;

    /// <summary>Why it stopped, or null.</summary>
    public LoadFailure? Failure => _patience.Failure;

    /// <summary>Restores what counts by an earlier reading, until the backup ends, <paramref name="stop"/> is cancelled, or something fails for good. Whatever was sent is brought to an end.</summary>
    public async Task RunAsync(BackupReader backup, SlotCover counting, CancellationToken stop)
    {
        using var halt = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var queue = Channel.CreateBounded<Item>(new BoundedChannelOptions(workers * QueuedPerWorker) { SingleWriter = true });
        var running = Enumerable.Range(0, workers).Select(_ => WorkAsync(queue.Reader, halt)).ToArray();
        var block = new List<Item>();
        var keys = new KeyBatches();
        try
        {
            await backup.ReadAsync(
                counting,
                (key, value, _, expiresAtMs) => block.Add(new Item(key.ToArray(), value.ToArray(), expiresAtMs)),
                key => keys.Add(key),
                async () =>
                {
                    // A block that holds records is behind all keys of its shard.
                    foreach (var (key, body, count) in keys.Take(all: block.Count > 0))
                    {
                        await queue.Writer.WriteAsync(new Item(key, body, 0, count), halt.Token);
                    }

                    foreach (var item in block)
                    {
                        await queue.Writer.WriteAsync(item, halt.Token);
                    }

                    block.Clear();
                },
                halt.Token);
            foreach (var (key, body, count) in keys.Take(all: true))
            {
                await queue.Writer.WriteAsync(new Item(key, body, 0, count), halt.Token);
            }
        }
        catch (OperationCanceledException) when (halt.IsCancellationRequested)
        {
            // What was read and not sent is not counted.
        }
        finally
        {
            queue.Writer.Complete();
            await Task.WhenAll(running);
        }
    }

    private async Task WorkAsync(ChannelReader<Item> queue, CancellationTokenSource halt)
    {
        await foreach (var item in queue.ReadAllAsync(CancellationToken.None))
        {
            // Once somebody has called for a halt, only what is on its way is brought to an end.
            while (!halt.IsCancellationRequested && !await TryPutAsync(item))
            {
                if (Failure is not null)
                {
                    await halt.CancelAsync();
                }
            }
        }
    }

    /// <summary>True if nothing more is to be done about a record.</summary>
    private async Task<bool> TryPutAsync(Item item)
    {
        PutOptions? options = null;
        if (item.ExpiresAtMs > 0)
        {
            // Reckoned anew for each attempt: it ends when it was to end.
            var leftMs = item.ExpiresAtMs - DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
            if (leftMs <= 0)
            {
                Interlocked.Increment(ref _expired);
                return true;
            }

            options = new PutOptions { TimeToLive = TimeSpan.FromSeconds(Math.Min(leftMs / 1000.0, MaxTtlSeconds)) };
        }

        var result = item.Keys > 0
            ? await client.PutIdempotencyKeysAsync(item.Key, item.Value, CancellationToken.None)
            : await client.PutAsync(item.Key, item.Value, options, CancellationToken.None);
        if (result.Outcome == CallOutcome.Ok)
        {
            _patience.Stored();
            Interlocked.Add(ref _keys, item.Keys);
            Interlocked.Add(ref _restored, item.Keys > 0 ? 0 : 1);
            return true;
        }

        if (!_patience.Retries(result.Outcome, result.Error!))
        {
            _patience.Fail(new LoadFailure($"the cluster refused {(item.Keys > 0 ? "idempotency keys" : $"the record {Printable.Field(item.Key, terminal: true)}")}: {result.Error!.Message} ({result.Error.Code})", ExitCode.Failed));
        }

        return false;
    }

    /// <summary>A record; or, if there are <paramref name="Keys"/>, so many idempotency keys of the slot of <paramref name="Key"/>.</summary>
    private readonly record struct Item(byte[] Key, byte[] Value, long ExpiresAtMs, int Keys = 0);
}
