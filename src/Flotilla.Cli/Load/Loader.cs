using System.Globalization;
using System.Threading.Channels;
using Flotilla.Client;

namespace Flotilla.Cli.Load;

/// <summary>What a load came to.</summary>
/// <param name="Records">Records stored by this run.</param>
/// <param name="Bad">Lines passed over.</param>
/// <param name="Repeated">Puts done anew because their outcome was unknown.</param>
/// <param name="ResumedAtLine">The line this run began behind; 0 for the beginning.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="PerSecond">Records per second.</param>
/// <param name="Complete">The whole input is stored.</param>
internal sealed record LoadReport(long Records, long Bad, long Repeated, long ResumedAtLine, double Seconds, double PerSecond, bool Complete);

/// <summary>
/// Puts records into a cluster, many at a time. Records of one key keep their order, since one worker has them all. A put
/// whose outcome is unknown is put anew until it is acknowledged: the same value twice is the same as once. What can tell
/// the difference is a write of the same key between the two, by somebody else or by a later line of the file: an attempt
/// that was given up may take effect seconds later, over it. A client with idempotency keys rules that out while its call
/// lasts, since all attempts of a call are executed once.
/// </summary>
internal sealed class Loader(FlotillaClient client, int workers, bool skipBad, TimeSpan patience, Action<string> warn)
{
    private const int QueuedPerWorker = 32;
    private const int WarningsShown = 20;
    private readonly Patience _patience = new(patience, warn);
    private long _bad;

    /// <summary>Lines passed over.</summary>
    public long Bad => Interlocked.Read(ref _bad);

    /// <summary>Puts sent again.</summary>
    public long Repeated => _patience.Repeated;

    /// <summary>Why it stopped, or null.</summary>
    public LoadFailure? Failure => _patience.Failure;

    /// <summary>Loads until the input ends, <paramref name="stop"/> is cancelled, or something fails for good. Whatever was sent is brought to an end.</summary>
    public async Task RunAsync(RecordReader reader, AckTracker acks, CancellationToken stop)
    {
        using var halt = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var queues = new Channel<(InputRecord Record, AckTracker.Slot Slot)>[workers];
        var running = new Task[workers];
        for (var i = 0; i < workers; i++)
        {
            var queue = queues[i] = Channel.CreateBounded<(InputRecord, AckTracker.Slot)>(new BoundedChannelOptions(QueuedPerWorker) { SingleReader = true, SingleWriter = true });
            running[i] = WorkAsync(queue.Reader, acks, halt);
        }

        try
        {
            while (await reader.ReadAsync(halt.Token) is { } record)
            {
                var slot = acks.Begin(record);
                if (record.Problem is null)
                {
                    var hash = default(HashCode);
                    hash.AddBytes(record.Key);
                    await queues[(uint)hash.ToHashCode() % (uint)workers].Writer.WriteAsync((record, slot), halt.Token);
                }
                else if (!Reject(record, record.Problem))
                {
                    break;
                }
                else
                {
                    acks.Complete(slot, stored: false);
                }
            }
        }
        catch (OperationCanceledException) when (halt.IsCancellationRequested)
        {
            // What was read and not sent stays behind the checkpoint.
        }

        foreach (var queue in queues)
        {
            queue.Writer.Complete();
        }

        await Task.WhenAll(running);
    }

    private async Task WorkAsync(ChannelReader<(InputRecord Record, AckTracker.Slot Slot)> queue, AckTracker acks, CancellationTokenSource halt)
    {
        await foreach (var (record, slot) in queue.ReadAllAsync(CancellationToken.None))
        {
            // Once somebody has called for a halt, only what is on its way is brought to an end.
            while (!halt.IsCancellationRequested)
            {
                var result = await client.PutAsync(record.Key, record.Value, null, CancellationToken.None);
                if (result.Outcome == CallOutcome.Ok)
                {
                    _patience.Stored();
                    acks.Complete(slot, stored: true);
                    break;
                }

                if (_patience.Retries(result.Outcome, result.Error!))
                {
                    if (Failure is not null)
                    {
                        await halt.CancelAsync();
                    }

                    continue;
                }

                if (Reject(record, $"the cluster refused it: {result.Error!.Message} ({result.Error.Code})"))
                {
                    acks.Complete(slot, stored: false);
                }
                else
                {
                    await halt.CancelAsync();
                }

                break;
            }
        }
    }

    /// <summary>Says what is wrong with a line. False if that ends the load.</summary>
    private bool Reject(in InputRecord record, string problem)
    {
        var bad = Interlocked.Increment(ref _bad);
        var message = string.Create(CultureInfo.InvariantCulture, $"line {record.Line}: {problem}");
        if (!skipBad)
        {
            _patience.Fail(new LoadFailure($"{message}. Mend it and run the same command again, or pass over such lines with --skip-bad.", ExitCode.Failed));
            return false;
        }

        if (bad <= WarningsShown)
        {
            warn(bad == WarningsShown ? $"{message} (further ones are only counted)" : message);
        }

        return true;
    }
}
