using System.Buffers;
using System.Globalization;
using System.Text.Json;

namespace Flotilla.Server.Http;

/// <summary>What a JSON body says: a value to put, or a number to add.</summary>
internal readonly record struct JsonBody(ReadOnlyMemory<byte> Value, long TtlMs, long Increment)
{
    /// <summary>The longest life of a record: 100 years.</summary>
    public const double MaxTtlSeconds = 3_153_600_000;

    /// <summary>Reads <c>{"value": …}</c> or <c>{"valueBase64": …}</c>, with an optional <c>"ttlSeconds"</c>. Null if it is one; else the kind of problem, with words.</summary>
    public static ProblemKind? TryParsePut(in ReadOnlySequence<byte> body, int maxValueBytes, out JsonBody result, out string? detail) =>
        TryParse(body, increment: false, maxValueBytes, out result, out detail);

    /// <summary>Reads <c>{"increment": N}</c>, likewise.</summary>
    public static ProblemKind? TryParseIncrement(in ReadOnlySequence<byte> body, out JsonBody result, out string? detail) =>
        TryParse(body, increment: true, 0, out result, out detail);

    /// <summary>Milliseconds of a life in seconds, rounded up. False for none, too long, or no number.</summary>
    public static bool TryTtl(double seconds, out long ttlMs)
    {
        var valid = seconds > 0 && seconds <= MaxTtlSeconds;
        ttlMs = valid ? (long)Math.Ceiling(seconds * 1000) : 0;
        return valid;
    }

    /// <summary>The same from text, as a query gives it.</summary>
    public static bool TryTtl(ReadOnlySpan<char> text, out long ttlMs)
    {
        ttlMs = 0;
        return double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds) && TryTtl(seconds, out ttlMs);
    }

    private static ProblemKind? TryParse(in ReadOnlySequence<byte> body, bool increment, int maxValueBytes, out JsonBody result, out string? detail)
    {
        result = default;
        detail = null;
        if (body.IsEmpty)
        {
            detail = increment
                ? "The body is missing. It must be {\"increment\": N}."
                : "The body is missing. It must be {\"value\": \"…\"}; or send raw bytes with Content-Type: application/octet-stream.";
            return Problems.BadRequest;
        }

        var reader = body.IsSingleSegment ? new Utf8JsonReader(body.FirstSpan) : new Utf8JsonReader(body);
        try
        {
            return Walk(ref reader, increment, maxValueBytes, out result, out detail);
        }
        catch (JsonException e)
        {
            var reason = e.Message.AsSpan();
            var end = reason.IndexOf(" LineNumber:", StringComparison.Ordinal);
            detail = $"The body is not valid JSON at line {(e.LineNumber ?? 0) + 1}, byte {(e.BytePositionInLine ?? 0) + 1}: {(end < 0 ? reason : reason[..end])} Raw bytes go with Content-Type: application/octet-stream.";
            return Problems.BadRequest;
        }
        catch (InvalidOperationException)
        {
            // This is how the reader refuses text that is no UTF-8, and half a surrogate pair.
            detail = $"The text that begins at byte {reader.TokenStartIndex + 1} is not valid Unicode. Bytes that are no UTF-8 go as \"valueBase64\".";
            return Problems.BadRequest;
        }
    }

    private static ProblemKind? Walk(ref Utf8JsonReader reader, bool increment, int maxValueBytes, out JsonBody result, out string? detail)
    {
        result = default;
        detail = null;
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            detail = increment ? "The body must be an object: {\"increment\": N}." : "The body must be an object: {\"value\": \"…\"}.";
            return Problems.BadRequest;
        }

        ReadOnlyMemory<byte>? value = null;
        long? ttlMs = null, delta = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = increment ? NameOfIncrement(ref reader) : NameOfPut(ref reader);
            if (name is null)
            {
                detail = $"Unknown property at byte {reader.TokenStartIndex + 1}. Known here: {(increment ? "increment" : "value, valueBase64, ttlSeconds")}.";
                return Problems.BadRequest;
            }

            reader.Read();
            if (reader.TokenType == JsonTokenType.Null)
            {
                continue;
            }

            ProblemKind? problem = null;
            if (name is "value" or "valueBase64")
            {
                if (value is not null)
                {
                    detail = "The body gives the value twice.";
                    return Problems.BadRequest;
                }

                problem = ReadValue(ref reader, name is "valueBase64", maxValueBytes, out var read, out detail);
                value = read;
            }
            else if (name is "ttlSeconds")
            {
                if (ttlMs is not null || reader.TokenType != JsonTokenType.Number || !reader.TryGetDouble(out var seconds) || !TryTtl(seconds, out var ms))
                {
                    detail = "\"ttlSeconds\" must be one number of seconds, above 0 and at most 3153600000.";
                    return Problems.BadRequest;
                }

                ttlMs = ms;
            }
            else if (delta is not null || reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out var number))
            {
                detail = "\"increment\" must be one integer of at most 64 bits.";
                return Problems.BadRequest;
            }
            else
            {
                delta = number;
            }

            if (problem is not null)
            {
                return problem;
            }
        }

        // Reads on to the end, where anything but white space is refused as invalid JSON.
        reader.Read();
        if (increment ? delta is null : value is null)
        {
            detail = increment ? "\"increment\" is missing." : "One of \"value\" and \"valueBase64\" must be given.";
            return Problems.BadRequest;
        }

        result = new JsonBody(value ?? default, ttlMs ?? 0, delta ?? 0);
        return null;
    }

    private static string? NameOfPut(ref Utf8JsonReader reader) =>
        reader.ValueTextEquals("value"u8) ? "value"
        : reader.ValueTextEquals("valueBase64"u8) ? "valueBase64"
        : reader.ValueTextEquals("ttlSeconds"u8) ? "ttlSeconds"
        : null;

    private static string? NameOfIncrement(ref Utf8JsonReader reader) => reader.ValueTextEquals("increment"u8) ? "increment" : null;

    private static ProblemKind? ReadValue(ref Utf8JsonReader reader, bool base64, int maxValueBytes, out ReadOnlyMemory<byte> value, out string? detail)
    {
        value = default;
        detail = null;
        if (reader.TokenType != JsonTokenType.String)
        {
            detail = $"{(base64 ? "\"valueBase64\"" : "\"value\"")} must be a string.";
            return Problems.BadRequest;
        }

        if (base64)
        {
            if (!reader.TryGetBytesFromBase64(out var decoded))
            {
                detail = "\"valueBase64\" is not base64.";
                return Problems.BadRequest;
            }

            value = decoded;
        }
        else
        {
            var length = checked((int)(reader.HasValueSequence ? reader.ValueSequence.Length : reader.ValueSpan.Length));
            if (reader.ValueIsEscaped)
            {
                // Unescaping only shortens: the exact length is known afterwards.
                var rented = ArrayPool<byte>.Shared.Rent(length);
                try
                {
                    var written = reader.CopyString(rented);
                    value = written <= maxValueBytes ? rented.AsSpan(0, written).ToArray() : default;
                    length = written;
                }
                finally
                {
                    ArrayPool<byte>.Shared.Return(rented);
                }
            }
            else if (length <= maxValueBytes)
            {
                var copy = length == 0 ? [] : GC.AllocateUninitializedArray<byte>(length);
                reader.CopyString(copy);
                value = copy;
            }

            if (length > maxValueBytes)
            {
                detail = Limits.ValueOver(maxValueBytes);
                return Problems.TooLarge;
            }
        }

        if (value.Length > maxValueBytes)
        {
            detail = Limits.ValueOver(maxValueBytes);
            return Problems.TooLarge;
        }

        return null;
    }
}
