namespace Flotilla.Wire.Rpc;

/// <summary>How a call ended.</summary>
/// <param name="Code">The status code.</param>
/// <param name="Message">What happened, in words, or null.</param>
/// <param name="Trailers">Further trailers, names in lower case and values of any text; null for none.</param>
public readonly record struct RpcStatus(RpcCode Code, string? Message, IReadOnlyList<KeyValuePair<string, string>>? Trailers)
{
    /// <summary>The trailer that holds one of Flotilla's stable error codes, the same as in the HTTP API.</summary>
    public const string CodeTrailer = "flotilla-code";

    /// <summary>A status with no more than a message.</summary>
    public RpcStatus(RpcCode code, string? message)
        : this(code, message, null)
    {
    }

    /// <summary>Done.</summary>
    public static RpcStatus Ok => default;

    /// <summary>True for <see cref="RpcCode.Ok"/>.</summary>
    public bool IsOk => Code == RpcCode.Ok;

    /// <summary>Flotilla's stable error code, or null if the status carries none.</summary>
    public string? FlotillaCode => Trailer(CodeTrailer);

    /// <summary>A status with one of Flotilla's stable error codes.</summary>
    public static RpcStatus WithCode(RpcCode code, string flotillaCode, string? message) => new(code, message, [new(CodeTrailer, flotillaCode)]);

    /// <summary>The value of a trailer, or null.</summary>
    public string? Trailer(string name)
    {
        if (Trailers is not null)
        {
            foreach (var (key, value) in Trailers)
            {
                if (string.Equals(key, name, StringComparison.Ordinal))
                {
                    return value;
                }
            }
        }

        return null;
    }

    /// <inheritdoc/>
    public override string ToString() => FlotillaCode is { } code ? $"{Code} ({code}): {Message}" : Message is null ? $"{Code}" : $"{Code}: {Message}";
}

/// <summary>What a unary handler answers: a message or a status that is not Ok. A value, so that an expected error costs no stack trace.</summary>
/// <typeparam name="T">The type of the message.</typeparam>
public readonly record struct RpcReply<T>(T? Message, RpcStatus Status)
    where T : class
{
    /// <summary>An answer.</summary>
    public static implicit operator RpcReply<T>(T message) => new(message, RpcStatus.Ok);

    /// <summary>A failure.</summary>
    public static implicit operator RpcReply<T>(RpcStatus status) => new(null, status);
}
