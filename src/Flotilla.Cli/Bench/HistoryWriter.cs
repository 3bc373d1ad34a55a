using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Threading.Channels;
using Flotilla.Client;

namespace Flotilla.Cli.Bench;

/// <summary>One operation as the linearizability checker reads it.</summary>
/// <param name="Client">The worker.</param>
/// <param name="Op">put or get.</param>
/// <param name="Key">The key.</param>
/// <param name="Value">What was written; null for a get.</param>
/// <param name="StartUs">When it was called, in microseconds of the machine's monotonic clock, the same for all processes.</param>
/// <param name="EndUs">When it returned.</param>
/// <param name="Outcome">How it ended.</param>
/// <param name="Read">What a get found; null for nothing.</param>
internal readonly record struct HistoryEntry(int Client, string Op, byte[] Key, byte[]? Value, long StartUs, long EndUs, CallOutcome Outcome, ReadOnlyMemory<byte>? Read);

/// <summary>
/// Records every operation as a JSON line, for the linearizability checker:
/// <c>{"client":3,"op":"put","key":"k7","value":"3-12","start_us":…,"end_us":…,"outcome":"ok"}</c>. The outcome is <c>ok</c>,
/// <c>fail</c> (certainly had no effect) or <c>unknown</c>; a get that is ok has <c>read</c>, null if there was nothing.
/// Workers hand entries over a bounded queue, so that a slow disk slows the run and not the memory.
/// </summary>
internal sealed class HistoryWriter : IAsyncDisposable
{
    private readonly Channel<HistoryEntry> _queue = Channel.CreateBounded<HistoryEntry>(new BoundedChannelOptions(16_384) { SingleReader = true });
    private readonly FileStream _file;
    private readonly Task _writing;

    /// <summary>Writes to a new file, in place of an old one.</summary>
    public HistoryWriter(string path)
    {
        _file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, 1 << 16);
        _writing = Task.Run(WriteAsync);
    }

    /// <summary>Hands an operation over.</summary>
    public ValueTask AddAsync(in HistoryEntry entry) => _queue.Writer.WriteAsync(entry);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _queue.Writer.Complete();
        await _writing;
        await _file.DisposeAsync();
    }

    private async Task WriteAsync()
    {
        var buffer = new ArrayBufferWriter<byte>(1 << 16);
        await using var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        await foreach (var entry in _queue.Reader.ReadAllAsync())
        {
            Encode(json, entry);
            json.Flush();
            json.Reset();
            buffer.Write("\n"u8);
            if (buffer.WrittenCount > 1 << 15 || !_queue.Reader.TryPeek(out _))
            {
                await _file.WriteAsync(buffer.WrittenMemory);
                buffer.ResetWrittenCount();
            }
        }
    }

    private static void Encode(Utf8JsonWriter json, in HistoryEntry entry)
    {
        json.WriteStartObject();
        json.WriteNumber("client", entry.Client);
        json.WriteString("op", entry.Op);
        json.WriteString("key", entry.Key);
        if (entry.Value is { } value)
        {
            json.WriteString("value", value);
        }

        json.WriteNumber("start_us", entry.StartUs);
        json.WriteNumber("end_us", entry.EndUs);
        var found = entry.Outcome is CallOutcome.Ok or CallOutcome.NotFound;
        var get = entry.Value is null;
        json.WriteString("outcome", entry.Outcome == CallOutcome.Ok || (get && found) ? "ok" : entry.Outcome == CallOutcome.Unknown ? "unknown" : "fail");
        if (get && found)
        {
            if (entry.Read is { } read)
            {
                // A value of somebody else's need not be text; the checker only compares.
                json.WriteString("read", Encoding.UTF8.GetString(read.Span));
            }
            else
            {
                json.WriteNull("read");
            }
        }

        json.WriteEndObject();
    }
}
