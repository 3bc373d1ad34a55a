using System.Text.Json;
using Flotilla.Cli.Flags;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;
using Flotilla.Topology;
using Flotilla.Wire.Backups;

namespace Flotilla.Cli.Backup;

/// <summary>Fetches shards from nodes into a backup, one at a time. Not thread-safe, but for <see cref="Records"/>.</summary>
/// <param name="patience">How long a node may be silent.</param>
internal sealed class ShardSource(TimeSpan patience) : IDisposable
{
    private readonly HttpClient _http = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(1), UseProxy = false, AllowAutoRedirect = false }) { Timeout = Timeout.InfiniteTimeSpan };
    private long _records;

    /// <summary>Records that have come so far. Any thread.</summary>
    public long Records => Volatile.Read(ref _records);

    /// <summary>Which image counts for each slot, of those that have come.</summary>
    public SlotCover Cover { get; } = new();

    /// <summary>When something came last, as <see cref="Environment.TickCount64"/> counts.</summary>
    public long LastNews { get; private set; } = Environment.TickCount64;

    /// <summary>
    /// Fetches a shard from one node. Null if the whole of it is in the file; else why not, and nothing of it is. A failure to
    /// write the file is thrown.
    /// </summary>
    public async Task<string?> TryFetchAsync(HostPort node, BackupShard shard, BackupFile into, CancellationToken cancel)
    {
        var before = _records;
        using var digest = new ContentDigest();
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        silence.CancelAfter(patience);
        var isWhole = false;
        into.Begin(shard);
        Cover.Begin();
        try
        {
            using var answer = await OfTheNode(_http.GetAsync(new Uri($"http://{node}/backup?shard={shard.Shard}"), HttpCompletionOption.ResponseHeadersRead, silence.Token), cancel);
            if (!answer.IsSuccessStatusCode)
            {
                return await OfTheNode(RefusalAsync(answer, silence.Token), cancel);
            }

            var frames = new BackupFrameReader(await answer.Content.ReadAsStreamAsync(silence.Token));
            var first = await OfTheNode(NextAsync(frames, silence.Token), cancel);
            first.Require(first.Kind == BackupFrameKind.Shard && BackupShard.Decode(first) == shard, "what comes is another shard, or one of another cluster");
            var blocks = new ShardBlocks((key, value, _, _) =>
            {
                Cover.Add(Slot.Of(key), digest.Of(key, value));
                Volatile.Write(ref _records, _records + 1);
            });
            while (true)
            {
                var frame = await OfTheNode(NextAsync(frames, silence.Token), cancel);
                LastNews = Environment.TickCount64;
                silence.CancelAfter(patience);
                if (blocks.Take(frame))
                {
                    into.End(new BackupShardEnd(blocks.Blocks, blocks.Records));
                    Cover.End(blocks.Owned, blocks.Frozen);
                    isWhole = true;
                    return null;
                }

                into.Add(frame.Content.Span);
            }
        }
        catch (NodeFailure failure)
        {
            return failure.Message;
        }
        catch (BackupDamagedException damage)
        {
            return damage.Message;
        }
        finally
        {
            if (!isWhole)
            {
                Volatile.Write(ref _records, before);
                into.Drop();
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private static async Task<BackupFrame> NextAsync(BackupFrameReader frames, CancellationToken cancel) =>
        await frames.ReadAsync(cancel) ?? throw new BackupDamagedException("it ended before its end", frames.Offset);

    /// <summary>What fails here is the node's fault, or the network's: another node may do better. A failure to write the file never passes here.</summary>
    private async Task<T> OfTheNode<T>(Task<T> task, CancellationToken cancel)
    {
        try
        {
            return await task;
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new NodeFailure($"it was silent for {Readers.Show(patience)}");
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new NodeFailure(e.Message);
        }
    }

    private sealed class NodeFailure(string message) : Exception(message);

    private static async Task<string> RefusalAsync(HttpResponseMessage answer, CancellationToken cancel)
    {
        var body = await answer.Content.ReadAsByteArrayAsync(cancel);
        try
        {
            var problem = JsonSerializer.Deserialize(body, DocumentsJson.Default.Problem);
            return problem is null ? $"it answered {(int)answer.StatusCode}" : $"{problem.Detail} ({problem.Code})";
        }
        catch (JsonException)
        {
            return $"it answered {(int)answer.StatusCode}";
        }
    }
}
