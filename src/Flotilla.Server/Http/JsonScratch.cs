using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Flotilla.Server.Http;

/// <summary>
/// A JSON writer and its buffer, one per thread: an answer is written here and copied into the connection's pipe before
/// anything else runs on the thread, so no request allocates or owns one.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "It lives as long as its thread, and the writer holds nothing but managed memory.")]
internal sealed class JsonScratch
{
    /// <summary>A buffer that has grown beyond this is let go after use.</summary>
    private const int KeepBytes = 64 << 10;

    [ThreadStatic]
    private static JsonScratch? current;

    private readonly Utf8JsonWriter _writer;
    private ArrayBufferWriter<byte> _buffer = new(1024);

    private JsonScratch() => _writer = new Utf8JsonWriter(_buffer, new JsonWriterOptions
    {
        // Answers are application/json, never part of a page, so text outside ASCII stays as it is and reads well.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        SkipValidation = true,
    });

    /// <summary>What has been written. Valid until the next <see cref="Begin"/> on this thread.</summary>
    public ReadOnlySpan<byte> Written
    {
        get
        {
            _writer.Flush();
            return _buffer.WrittenSpan;
        }
    }

    /// <summary>This thread's scratch, empty.</summary>
    public static JsonScratch Begin(out Utf8JsonWriter writer)
    {
        var scratch = current ??= new JsonScratch();
        if (scratch._buffer.Capacity > KeepBytes)
        {
            scratch._buffer = new ArrayBufferWriter<byte>(1024);
        }
        else
        {
            scratch._buffer.ResetWrittenCount();
        }

        scratch._writer.Reset(scratch._buffer);
        writer = scratch._writer;
        return scratch;
    }
}
