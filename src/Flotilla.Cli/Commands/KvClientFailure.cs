using Flotilla.Contracts;
using Flotilla.Wire.Rpc;

namespace Flotilla.Cli.Commands;

/// <summary>What a gRPC call that did not end well means for whoever typed the command: words, and the exit code.</summary>
internal static class KvClientFailure
{
    /// <summary>Says it on standard error. The result is the exit code.</summary>
    /// <param name="err">Standard error.</param>
    /// <param name="e">What happened.</param>
    /// <param name="server">Whom was asked.</param>
    /// <param name="command">The command.</param>
    /// <param name="key">The key of get and set.</param>
    public static int Explain(TextWriter err, RpcException e, HostPort server, string command, string key)
    {
        var words = e.Status.Message is { Length: > 0 } said ? said : e.Message;
        var isWrite = string.Equals(command, "set", StringComparison.Ordinal);
        switch (e.Failure)
        {
            case RpcFailure.Refused:
                err.WriteLine($"kvclient: nobody listens at {server}. Nothing was done. Start the first node with `./kvserver --address {server} --id node1 --bs true`, or name another one with --server HOST:RPC.");
                return ExitCode.Unavailable;
            case RpcFailure.Unreachable:
                err.WriteLine($"kvclient: {words}. Nothing was done. Check --server HOST:RPC.");
                return ExitCode.Unavailable;
            case RpcFailure.Closed when SpeaksHttp1(e):
                err.WriteLine($"kvclient: {server} serves HTTP/1.1, not gRPC. Nothing was done. Give the node's RPC address with --server HOST:RPC.");
                return ExitCode.Failed;
            case RpcFailure.Protocol:
                err.WriteLine($"kvclient: {words}");
                return ExitCode.Failed;
            case RpcFailure.Status:
                return OfStatus(err, e.Status, words, isWrite, string.Equals(command, "get", StringComparison.Ordinal), key);
            case RpcFailure.Closed or RpcFailure.TimedOut or RpcFailure.Cancelled:
            default:
                err.WriteLine(isWrite
                    ? $"kvclient: outcome unknown: {words} ({server}). The value may or may not have been stored: read before you write again."
                    : $"kvclient: unavailable: {words} ({server}). Try again.");
                return isWrite ? ExitCode.Unknown : ExitCode.Unavailable;
        }
    }

    /// <summary>A door for HTTP/1.1 alone says so by an error code of HTTP/2 (HTTP_1_1_REQUIRED, RFC 9113, section 7), before it reads any request.</summary>
    private static bool SpeaksHttp1(Exception? e)
    {
        const long Http11Required = 0xd;
        for (; e is not null; e = e.InnerException)
        {
            if (e is HttpProtocolException { ErrorCode: Http11Required })
            {
                return true;
            }
        }

        return false;
    }

    private static int OfStatus(TextWriter err, RpcStatus status, string words, bool isWrite, bool isGet, string key)
    {
        var code = status.FlotillaCode;
        switch (code)
        {
            case "not_found":
                err.WriteLine($"kvclient: not found: {(isGet ? $"{key}: " : "")}{words}");
                return ExitCode.NotFound;
            case "version_mismatch":
                err.WriteLine($"kvclient: {words}");
                return ExitCode.VersionMismatch;
            case "under_way" or "not_joined" or "no_quorum" or "overloaded" or "slot_moving" or "replica_unavailable" or "change_under_way":
                err.WriteLine($"kvclient: unavailable: {words} ({code})");
                return ExitCode.Unavailable;
            case "indeterminate":
                break;
            case null when status.Code is RpcCode.DeadlineExceeded or RpcCode.Internal or RpcCode.Unknown or RpcCode.Cancelled:
                break;
            default:
                err.WriteLine($"kvclient: failed: {words}{(code is null ? "" : $" ({code})")}");
                return ExitCode.Failed;
        }

        err.WriteLine(isWrite
            ? $"kvclient: outcome unknown: {words} The value may or may not have been stored: read before you write again."
            : $"kvclient: unavailable: {words}");
        return isWrite ? ExitCode.Unknown : ExitCode.Unavailable;
    }
}
