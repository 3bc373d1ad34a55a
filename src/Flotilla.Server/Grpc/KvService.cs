using System.Buffers.Text;
using Flotilla.Contracts;
using Flotilla.Contracts.Protos;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;
using Google.Protobuf;
using Version = Flotilla.Data.Version;

namespace Flotilla.Server.Grpc;

/// <summary>
/// The gRPC door: translates the calls of <c>kv.proto</c> to the gateway and its answers back; decides nothing. Thread-safe.
/// </summary>
/// <param name="gateway">Where calls go.</param>
/// <param name="options">Limits.</param>
/// <param name="time">The clock of Monitor.</param>
/// <param name="changes">Where an operator's changes go; null for a process that changes no cluster.</param>
public sealed class KvService(IGateway gateway, KvServiceOptions options, TimeProvider? time = null, IClusterChanges? changes = null)
{
    private const string Service = "/flotilla.v1.KV/";
    private const long MaxTtlMs = 3_153_600_000_000;
    private const uint DefaultScanLimit = 100;
    private const uint MaxScanLimit = 10_000;
    private static readonly TimeSpan MaxAddNodeTime = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan AnswerTime = TimeSpan.FromMilliseconds(200);

    private readonly ClusterMonitor _monitor = new(gateway, time ?? TimeProvider.System);
    private int _inFlight;
    private int _monitors;

    private int MaxInFlight => options.MaxInFlight;

    /// <summary>Adds the service's methods to a server.</summary>
    public void Register(RpcServices services)
    {
        ArgumentNullException.ThrowIfNull(services);
        services
            .Unary<GetRequest, GetResponse>(Service + "Get", GetRequest.Parser, GetAsync)
            .Unary<PutRequest, PutResponse>(Service + "Put", PutRequest.Parser, PutAsync)
            .Unary<DeleteRequest, DeleteResponse>(Service + "Delete", DeleteRequest.Parser, DeleteAsync)
            .Unary<Contracts.Protos.ScanRequest, ScanResponse>(Service + "Scan", Contracts.Protos.ScanRequest.Parser, ScanAsync)
            .Unary<AddNodeRequest, AddNodeResponse>(Service + "AddNode", AddNodeRequest.Parser, AddNodeAsync)
            .ServerStreaming<MonitorRequest, MonitorEvent>(Service + "Monitor", MonitorRequest.Parser, MonitorAsync);
    }

    private async ValueTask<RpcReply<GetResponse>> GetAsync(GetRequest request, RpcCall call)
    {
        if (KeyProblem(request.Key) is { } problem)
        {
            return problem;
        }

        using var place = new Place(this);
        if (!place.IsFree)
        {
            return KvStatus.Overloaded;
        }

        var answer = await gateway.GetAsync(request.Key.Memory, Options(call, request.HasForward, request.Forward, request.Stale)).ConfigureAwait(false);
        return answer.Result.Code == ResultCode.Ok
            ? new GetResponse { Value = UnsafeByteOperations.UnsafeWrap(answer.Result.Value), Version = answer.Result.Version.ToString() }
            : KvStatus.Of(answer);
    }

    private async ValueTask<RpcReply<PutResponse>> PutAsync(PutRequest request, RpcCall call)
    {
        if (KeyProblem(request.Key) is { } problem)
        {
            return problem;
        }

        if (!TryCommand(request, out var command, out problem) || !TryOnce(call, ref command, out var isRetry, out problem))
        {
            return problem;
        }

        using var place = new Place(this);
        if (!place.IsFree)
        {
            return KvStatus.Overloaded;
        }

        var answer = await gateway.ExecuteAsync(command, Options(call, request.HasForward, request.Forward, isRetry: isRetry)).ConfigureAwait(false);
        if (answer.Result.Code != ResultCode.Ok)
        {
            return KvStatus.Of(answer);
        }

        var response = new PutResponse { Version = answer.Result.Version.ToString() };
        if (request.HasIncrement && Utf8Parser.TryParse(answer.Result.Value.Span, out long number, out _))
        {
            response.Number = number;
        }

        return response;
    }

    private bool TryCommand(PutRequest request, out Command command, out RpcStatus problem)
    {
        command = default;
        problem = default;
        var key = request.Key.Memory;
        var conditions = (request.ExpectedVersion.Length > 0 ? 1 : 0) + (request.OnlyIfAbsent ? 1 : 0);
        if (request.HasIncrement)
        {
            if (conditions > 0 || request.TtlMs > 0 || !request.Value.IsEmpty)
            {
                problem = KvStatus.BadRequest("An increment takes no value, no condition and no ttl_ms.");
                return false;
            }

            command = Command.Increment(key, request.Increment);
            return true;
        }

        if (request.Value.Length > options.MaxValueBytes)
        {
            problem = KvStatus.TooLarge("value", request.Value.Length, options.MaxValueBytes);
            return false;
        }

        if (request.TtlMs > MaxTtlMs || conditions > 1)
        {
            problem = KvStatus.BadRequest(conditions > 1 ? "expected_version and only_if_absent exclude each other." : $"ttl_ms must be at most {MaxTtlMs}.");
            return false;
        }

        var ttlMs = (long)request.TtlMs;
        if (request.ExpectedVersion.Length > 0)
        {
            if (!Version.TryParse(request.ExpectedVersion, out var expected))
            {
                problem = NotAVersion(request.ExpectedVersion);
                return false;
            }

            command = Command.CompareAndSwap(key, expected, request.Value.Memory, ttlMs);
            return true;
        }

        command = request.OnlyIfAbsent ? Command.PutIfAbsent(key, request.Value.Memory, ttlMs) : Command.Put(key, request.Value.Memory, ttlMs);
        return true;
    }

    private async ValueTask<RpcReply<DeleteResponse>> DeleteAsync(DeleteRequest request, RpcCall call)
    {
        if (KeyProblem(request.Key) is { } problem)
        {
            return problem;
        }

        var expected = Version.None;
        if (request.ExpectedVersion.Length > 0 && !Version.TryParse(request.ExpectedVersion, out expected))
        {
            return NotAVersion(request.ExpectedVersion);
        }

        var key = request.Key.Memory;
        var command = request.ExpectedVersion.Length > 0 ? Command.CompareAndDelete(key, expected) : Command.Delete(key);
        if (!TryOnce(call, ref command, out var isRetry, out var wrong))
        {
            return wrong;
        }

        using var place = new Place(this);
        if (!place.IsFree)
        {
            return KvStatus.Overloaded;
        }

        var answer = await gateway.ExecuteAsync(command, Options(call, request.HasForward, request.Forward, isRetry: isRetry)).ConfigureAwait(false);
        return answer.Result.Code switch
        {
            ResultCode.Ok => new DeleteResponse { Deleted = true },
            ResultCode.NotFound => new DeleteResponse { Deleted = false },
            _ => KvStatus.Of(answer),
        };
    }

    private async ValueTask<RpcReply<ScanResponse>> ScanAsync(Contracts.Protos.ScanRequest request, RpcCall call)
    {
        if (request.Limit > MaxScanLimit)
        {
            return KvStatus.BadRequest($"limit must be at most {MaxScanLimit}.");
        }

        if (request.Prefix.Length > options.MaxKeyBytes || request.From.Length > options.MaxKeyBytes)
        {
            return KvStatus.TooLarge("bound", Math.Max(request.Prefix.Length, request.From.Length), options.MaxKeyBytes);
        }

        using var place = new Place(this);
        if (!place.IsFree)
        {
            return KvStatus.Overloaded;
        }

        var limit = request.Limit == 0 ? DefaultScanLimit : request.Limit;
        var answer = await gateway.ScanAsync(new Shards.ScanRequest(request.From.Memory, request.Prefix.Memory, (int)limit, options.MaxPageBytes), Options(call, request.HasForward, request.Forward, request.Stale)).ConfigureAwait(false);
        if (answer.Code != ResultCode.Ok)
        {
            return KvStatus.Of(answer);
        }

        var response = new ScanResponse();
        foreach (var record in answer.Records)
        {
            response.Records.Add(new Contracts.Protos.Record { Key = UnsafeByteOperations.UnsafeWrap(record.Key), Value = UnsafeByteOperations.UnsafeWrap(record.Value), Version = record.Version.ToString() });
        }

        if (answer.Next is { } next)
        {
            response.Next = UnsafeByteOperations.UnsafeWrap(next);
        }

        return response;
    }

    private async ValueTask<RpcReply<AddNodeResponse>> AddNodeAsync(AddNodeRequest request, RpcCall call)
    {
        if (changes is null)
        {
            return RpcStatus.WithCode(RpcCode.Unimplemented, "not_implemented", "This process changes no cluster.");
        }

        if (!Genesis.IsNodeId(request.Id))
        {
            return KvStatus.BadRequest($"'{request.Id}' can't name a node: 1 to 64 visible ASCII characters other than , = / and quotes.");
        }

        if (!HostPort.TryParse(request.Address, out var address, out var why) || request.Address.Length > 250)
        {
            return KvStatus.BadRequest($"address must be HOST:PORT, the RPC address of the node: {why}.");
        }

        // What is under way at the caller's deadline goes on: the answer should come before it.
        var patience = call.Remaining is { } left && left - AnswerTime < MaxAddNodeTime ? left - AnswerTime : MaxAddNodeTime;
        var answer = await changes.AddNodeAsync(new NodeId(request.Id), address, ShardChoice.Hosted, patience < TimeSpan.Zero ? TimeSpan.Zero : patience).ConfigureAwait(false);
        return answer.Code == ChangeCode.Done ? new AddNodeResponse() : KvStatus.Of(answer);
    }

    private async Task<RpcStatus> MonitorAsync(MonitorRequest request, RpcStreamWriter<MonitorEvent> writer, RpcCall call)
    {
        if (request.IntervalMs is not 0 and (< 100 or > 60_000))
        {
            return KvStatus.BadRequest("interval_ms must be 0, or 100 to 60000.");
        }

        if (Interlocked.Increment(ref _monitors) > options.MaxMonitors)
        {
            Interlocked.Decrement(ref _monitors);
            return KvStatus.Overloaded;
        }

        try
        {
            await _monitor.StreamAsync(TimeSpan.FromMilliseconds(request.IntervalMs == 0 ? 1000 : request.IntervalMs), writer, call.Cancellation).ConfigureAwait(false);
            return RpcStatus.Ok;
        }
        finally
        {
            Interlocked.Decrement(ref _monitors);
        }
    }

    private RpcStatus? KeyProblem(ByteString key)
    {
        if (key.IsEmpty)
        {
            return KvStatus.BadRequest("The key is empty.");
        }

        return key.Length > options.MaxKeyBytes ? KvStatus.TooLarge("key", key.Length, options.MaxKeyBytes) : null;
    }

    private static RpcStatus NotAVersion(string text) => KvStatus.BadRequest($"'{text}' is not a version: take the one that a Get or Put answered.");

    private static bool TryOnce(RpcCall call, ref Command command, out bool isRetry, out RpcStatus problem)
    {
        problem = default;
        if (IdempotencyHeader.TryParse(call.Header(IdempotencyHeader.Name), call.Header(IdempotencyHeader.RetryName), out var once, out isRetry) is { } wrong)
        {
            problem = KvStatus.BadRequest(wrong);
            return false;
        }

        command = command with { Once = once };
        return true;
    }

    private CallOptions Options(RpcCall call, bool hasForward, bool forward, bool stale = false, bool isRetry = false)
    {
        // Without a deadline of the caller's the node's own default holds. One that has just passed still asks for an answer,
        // since 0 would mean that default.
        var timeoutMs = call.Remaining is { } left ? (int)Math.Clamp(left.TotalMilliseconds, 1, int.MaxValue) : 0;
        return new CallOptions(hasForward ? forward : options.ForwardDefault, stale, timeoutMs, isRetry);
    }

    /// <summary>One of the calls that may be under way at once.</summary>
    private readonly struct Place : IDisposable
    {
        private readonly KvService _service;

        public Place(KvService service)
        {
            _service = service;
            IsFree = Interlocked.Increment(ref service._inFlight) <= service.MaxInFlight;
        }

        public bool IsFree { get; }

        public void Dispose() => Interlocked.Decrement(ref _service._inFlight);
    }
}
